"""Settings of retrieval."""

from nearcode.runtime.settings import ServiceSettings


class RetrievalSettings(ServiceSettings):
    """Settings of the retrieval service."""
