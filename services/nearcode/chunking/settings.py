"""Settings of chunking."""

from nearcode.runtime.settings import ServiceSettings


class ChunkingSettings(ServiceSettings):
    """Settings of the chunking service."""
