"""Settings of generation."""

from nearcode.runtime.settings import ServiceSettings


class GenerationSettings(ServiceSettings):
    """Settings of the generation service."""
