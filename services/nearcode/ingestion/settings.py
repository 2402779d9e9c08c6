"""Settings of ingestion."""

from nearcode.runtime.settings import ServiceSettings


class IngestionSettings(ServiceSettings):
    """Settings of the ingestion service."""

    largest_file: int = 1_000_000
    """Bytes. Larger files are left out by name: data or generated, and one of them would cost as much as a thousand."""
    part_files: int = 48
    """Files of one event of the indexing flow: small enough that its chunks' outlines fit a 64 KB event or two."""
    part_bytes: int = 1_500_000
    """Bytes of source of one such event, so that a part takes a worker about a second."""
    bulk_parts: int = 8
    """A revision with more parts than this travels on the bulk stream, where it does not delay small updates."""
    git_protocols: str = "https"
    """Protocols that git may use to fetch, separated by colons. `file` is for tests."""
    fetch_seconds: float = 900.0
    """Seconds that one fetch may take."""
    watch: bool = True
    """Follow changes in connected folders while `nearcode run` runs."""
