"""A token in a file that only its owner can read: for loopback, where every user of the machine can connect."""

import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from nearcode.auth.local import LOCAL_USER
from nearcode.domain.errors import Unauthenticated, Unavailable

_BYTES = 32
"""256 bits: nothing to guess, and no need to slow down guessing."""


class TokenAuthenticator:
    """Takes `authorization: Bearer TOKEN` with the token of a file, which is read anew for each call: it may be replaced."""

    def __init__(self, token_file: Path) -> None:
        self._file = token_file

    async def authenticate(self, metadata: Mapping[str, str]) -> str:
        """The local user. Raises Unauthenticated, which does not tell a missing token from a wrong one."""
        scheme, _, given = metadata.get("authorization", "").partition(" ")
        expected = read_token(self._file)  # 40 bytes: quicker than a thread
        same = hmac.compare_digest(given.strip().encode(), expected.encode())
        if scheme.lower() != "bearer" or not same:
            raise Unauthenticated(f"send the token of {self._file.name} in the engine's home as `authorization: Bearer TOKEN`")
        return LOCAL_USER


def read_token(path: Path) -> str:
    """The token in a file. Raises Unavailable when there is none."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the token file {path} cannot be read") from error
    if not token:
        raise Unavailable(f"the token file {path} is empty; delete it and start the engine again")
    return token


def ensure_token(path: Path) -> str:
    """The token in a file, which is made (0600) if it is missing. Processes that do so at once agree on one token."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
        try:
            os.link(draft, path)  # fails if another was faster; a rename would replace its token
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return read_token(path)
