"""Settings of chunking."""

from pydantic import Field

from nearcode.runtime.settings import ServiceSettings


class ChunkingSettings(ServiceSettings):
    """Settings of the chunking service."""

    workers: int = Field(default=2, ge=1, le=64)
    """Parser processes. Each takes one core while it works and 60 MB; 2 leave a laptop usable."""
    cpu_seconds: float = Field(default=2.0, gt=0, le=60)
    """CPU seconds that one file may take before it is cut by lines instead. The slowest file of Django takes 0.1."""
    wall_seconds: float = Field(default=120.0, gt=0)
    """Seconds until a parser process that neither answers nor works is killed. Long, so that a busy machine changes nothing."""
