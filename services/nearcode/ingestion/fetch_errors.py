"""What git says when it cannot fetch, as one of the six errors, with a reason that a program can tell apart. Pure.

All that may pass by itself is Unavailable, also refused credentials: they are renewed without anybody telling us.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nearcode.domain.errors import NearcodeError, NotFound, Reason, Unavailable

_SOON, _LATER = 30.0, 300.0
"""Seconds until a fetch is worth another try: of what passes by itself, and of what somebody has to change."""
_USERINFO = re.compile(r"(://)[^/\s@]+@")
_STATUS = re.compile(r"returned error: (\d{3})")
_DAMAGED = re.compile(
    r"not a git repository|object file .* is empty|loose object .* is corrupt|bad (object|tree|blob|commit)"
    r"|packfile .* (cannot|is)|unable to (parse|read|unpack)|inflate: data|missing (tree|blob)|could not parse"
    r"|not a valid object name|invalid sha1 pointer|did not send all necessary objects|reference broken"
)
_UNTRUSTED = ("certificate", "CAfile")
_SILENT = (
    "Failed to connect",
    "Couldn't connect",
    "Connection refused",
    "onnection reset",
    "timed out",
    "Timeout",
    "too slow",
    "Empty reply",
    "No route",
    "unreachable",
    "hung up",
    "early EOF",
    "RPC failed",
    "recv error",
    "SSL_ERROR_SYSCALL",
    "TLS connection",
)
_LOGIN = ("could not read Username", "could not read Password", "Authentication failed", "terminal prompts disabled")


@dataclass(frozen=True, slots=True)
class Asked:
    """A fetch: of what, and whether credentials were shown. `file` is where they lie or would lie, if anywhere."""

    url: str
    branch: str
    credentials: bool = False
    file: str = ""


def explained(text: str, asked: Asked) -> NearcodeError:
    """The error for what git said."""
    url, said = asked.url, without_userinfo(text.strip())
    last = said.splitlines()[-1].removeprefix("fatal: ") if said else "git says nothing"
    said = said.replace(url, "")  # its words are no signs
    status = int(found[1]) if (found := _STATUS.search(said)) else 0
    if status in (401, 403) or _any(_LOGIN, said):
        return _refused(asked)
    if "couldn't find remote ref" in said:
        return NotFound(f"{url} has no branch {asked.branch}", Reason.NO_SUCH_BRANCH)
    if is_unknown(text):
        return NotFound(f"{url} is not there: the host knows no such repository, or does not show it", Reason.REMOTE_NOT_FOUND)
    if _any(_UNTRUSTED, said):
        return Unavailable(
            f"the certificate of {url} is not trusted ({last}): name its authority in ingestion.git_ca_file",
            Reason.CERTIFICATE,
            _LATER,
        )
    if "Could not resolve" in said:
        return Unavailable(f"the host of {url} is unknown: check the URL", Reason.REPOSITORY_UNREACHABLE, _SOON)
    if status == 429 or status >= 500:
        return Unavailable(f"the host of {url} answers with status {status}", Reason.REPOSITORY_UNREACHABLE, _SOON)
    if "No space left" in said:
        return Unavailable("no space is left for the clone: make the volume larger", Reason.DISK_FULL, _LATER)
    if _any(_SILENT, said):
        return Unavailable(f"the host of {url} does not answer: {last}", Reason.REPOSITORY_UNREACHABLE, _SOON)
    return Unavailable(f"{url} cannot be fetched: {last}", Reason.FETCH_FAILED, _SOON)


def is_unknown(text: str) -> bool:
    """Whether the host knows no repository by this spelling of its URL: some redirect to the one that ends in .git."""
    return bool(re.search(r"repository '[^']*' not found|returned error: (404|410|30\d)|unable to update url base", text))


def is_gone(text: str) -> bool:
    """Whether the host does not have, or does not give out, an object that was asked for by its id."""
    return "not our ref" in text or "unadvertised object" in text


def is_damaged(text: str) -> bool:
    """Whether the clone itself is broken, so that only a new one helps. What the remote says of itself is no sign of that."""
    ours = "\n".join(line for line in text.splitlines() if not line.startswith("remote:") and "remote error" not in line)
    return bool(_DAMAGED.search(ours)) and not _any(_SILENT, text) and "No space left" not in text


def without_userinfo(text: str) -> str:
    """The text, without the user and password of any URL in it."""
    return _USERINFO.sub(r"\1", text)


def _refused(asked: Asked) -> Unavailable:
    if asked.credentials:
        return Unavailable(
            f"the host of {asked.url} refuses the credentials in {asked.file}: renew them, or let them read the repository",
            Reason.CREDENTIALS_REFUSED,
            _LATER,
        )
    where = f"put them into {asked.file}" if asked.file else "set ingestion.credentials_dir"
    return Unavailable(
        f"{asked.url} is not public, or not there: its host asks for credentials, and there are none; {where}",
        Reason.CREDENTIALS_MISSING,
        _SOON,
    )


def _any(signs: Sequence[str], text: str) -> bool:
    return any(sign in text for sign in signs)
