"""What a code host is shown: credentials from a file of the repository's own, and whom to believe that it is that host."""

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nearcode.domain.errors import Reason, Unavailable

_BITBUCKET = ("bitbucket.org", "x-token-auth")
_TOKEN_USER = "x-access-token"
"""The user that goes with a token alone. GitHub documents this name and looks at the token only; GitLab takes any name that is
not empty with personal, project and group tokens; Bitbucket Cloud asks for `x-token-auth` with its access tokens."""
_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What git is given for one fetch: settings, of which some are secret, and whether credentials are among them."""

    settings: dict[str, str]
    credentials: bool


@dataclass(frozen=True, slots=True)
class Access:
    """How the host of one repository is asked. `folder` holds a file per repository id, if there is one."""

    repository: str = ""
    folder: Path | None = None
    ca_file: Path | None = None

    def shown(self, url: str) -> Shown:
        """For a fetch now: files are read anew each time, as secrets are renewed in place. Raises Unavailable."""
        settings = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": "60"}  # bytes a second, for seconds: a black hole
        if self.ca_file:
            if not self.ca_file.is_file():
                raise Unavailable(
                    f"{self.ca_file} is missing: ingestion.git_ca_file or git_ca_files names it", Reason.CERTIFICATE, 60.0
                )
            settings["http.sslCAInfo"] = str(self.ca_file)
        header = self._header(urlsplit(url).hostname or "")
        if header:
            settings[f"http.{origin(url)}/.extraHeader"] = header
        return Shown(settings, bool(header))

    @property
    def file(self) -> Path | None:
        """Where the repository's credentials lie, or would lie."""
        return self.folder / self.repository if self.folder else None

    def _header(self, host: str) -> str:
        if self.file is None:
            return ""
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""  # a public repository; a host that wants credentials says so
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"{self.file} cannot be read", Reason.CREDENTIALS_MISSING, _AGAIN_SECONDS) from error
        return authorization(text, host, str(self.file))


def authorization(text: str, host: str, where: str) -> str:
    """The header for `username:password`, or a token alone, in the first line of `text`. Raises Unavailable."""
    line = text.strip().partition("\n")[0].strip()
    user, colon, password = line.partition(":")
    if not colon:
        domain, name = _BITBUCKET
        user, password = (name if host == domain else _TOKEN_USER), line
    if not password:
        raise Unavailable(
            f"{where} is empty: its first line is `username:password`, or a token", Reason.CREDENTIALS_MISSING, _AGAIN_SECONDS
        )
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def origin(url: str) -> str:
    """What a URL begins with: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
