"""One user: the one who started the engine."""

from collections.abc import Mapping

LOCAL_USER = "local"


class LocalAuthenticator:
    """For a Unix socket, which the kernel opens to its owner alone: whoever calls is the local user."""

    async def authenticate(self, metadata: Mapping[str, str]) -> str:
        """The local user, whatever the metadata."""
        return LOCAL_USER
