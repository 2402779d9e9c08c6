"""Settings of retrieval."""

from pydantic import Field

from nearcode.runtime.settings import ServiceSettings


class RetrievalSettings(ServiceSettings):
    """Settings of the retrieval service."""

    candidates: int = Field(default=50, ge=10, le=1000)
    """Chunks each lane is asked for before ranking. More find little that ranking still lifts into the first ten, and each
    costs about 20 microseconds."""
    embed_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of a question's time that its embedding may take before the lexical lane answers alone. A static embedder needs
    a millisecond; a transformer on a busy GPU may need more."""
