"""Settings of embedding."""

from nearcode.runtime.settings import ServiceSettings


class EmbeddingSettings(ServiceSettings):
    """Settings of the embedding service."""
