"""What embedding counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Chunks, in powers of two like the batches that models prefer."""
MODEL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: a static model takes milliseconds for a batch, a transformer on a CPU many seconds."""


class EmbeddingMetrics:
    """Batches by model profile, and how often the cache saved the model a file."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._chunks = Histogram(
            "nearcode_embedding_batch_chunks",
            "Chunks of one call to an embedding model, after the cache, by model profile.",
            ["profile"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self._seconds = Histogram(
            "nearcode_embedding_batch_seconds",
            "Seconds of one such call, by model profile.",
            ["profile"],
            buckets=MODEL_BUCKETS,
            registry=registry,
        )
        self._hits = Counter("nearcode_vector_cache_hits_total", "Files whose vectors were remembered.", registry=registry)
        self._misses = Counter("nearcode_vector_cache_misses_total", "Files that had to be embedded.", registry=registry)

    def batch(self, profile: str, chunks: int, seconds: float) -> None:
        """A call to a model."""
        self._chunks.labels(profile).observe(chunks)
        self._seconds.labels(profile).observe(seconds)

    def looked_up(self, hits: int, misses: int) -> None:
        """A look into the cache."""
        self._hits.inc(hits)
        self._misses.inc(misses)
