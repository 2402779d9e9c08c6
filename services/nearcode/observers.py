"""Who is told what the parts of a process do: nobody, unless `metering` puts its counters here."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nearcode.chunking.observer import ParserObserver
from nearcode.events.observer import BusObserver
from nearcode.gateway.observer import GatewayObserver
from nearcode.generation.observer import GenerationObserver
from nearcode.retrieval.observer import RetrievalObserver


@dataclass(frozen=True, slots=True)
class Observers:
    """One observer a part. `batch` is told of calls to an embedding model (profile, chunks, seconds), `lookup` of looks into
    the cache of vectors (hits, misses)."""

    bus: BusObserver = field(default_factory=BusObserver)
    gateway: GatewayObserver = field(default_factory=GatewayObserver)
    retrieval: RetrievalObserver = field(default_factory=RetrievalObserver)
    generation: GenerationObserver = field(default_factory=GenerationObserver)
    parsers: ParserObserver = field(default_factory=ParserObserver)
    batch: Callable[[str, int, float], None] = lambda profile, chunks, seconds: None
    lookup: Callable[[int, int], None] = lambda hits, misses: None
