"""Where a repository lies: a folder of this machine, or a git server."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nearcode.domain.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in its one spelling, and the name that people know it by."""

    url: str
    name: str

    @classmethod
    def parse(cls, url: str, branch: str = "") -> "Address":
        """Accepts `https://` and `file://` URLs. Raises InvalidRequest."""
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise InvalidRequest(f"the URL is none: {error}", field="url") from error
        if parts.username is not None or parts.password is not None:  # before anything repeats it
            raise InvalidRequest("credentials do not belong into a URL", field="url")
        if parts.scheme == "file":
            path = folder_of(url)
            if not path.is_absolute():
                raise InvalidRequest(f"{url} does not name an absolute path", field="url")
            return cls(path.as_uri(), path.name or str(path))
        if parts.scheme != "https" or not parts.hostname or not parts.path.strip("/"):
            raise InvalidRequest(f"{url!r} is neither an https:// nor a file:// URL", field="url")
        if not branch:
            raise InvalidRequest(f"name the branch of {url} to follow", field="branch")
        path_ = parts.path.strip("/").removesuffix(".git")
        return cls(f"https://{parts.hostname.lower()}{port}/{path_}", path_)


def folder_of(url: str) -> Path:
    """The folder that a `file://` URL names."""
    return Path(unquote(urlsplit(url).path)).resolve()
