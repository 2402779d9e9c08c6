"""Settings of ingestion."""

from nearcode.runtime.settings import ServiceSettings


class IngestionSettings(ServiceSettings):
    """Settings of the ingestion service."""
