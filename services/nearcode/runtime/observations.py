"""Gauges that have to be asked for: looked up when somebody scrapes, at most every few seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter

from nearcode.domain.errors import NearcodeError
from nearcode.telemetry.log import get_logger

_PATIENCE = 3.0
"""Seconds for all looks of one scrape: Prometheus gives up after ten."""

log = get_logger(__name__)


class Observations:
    """`seconds`: how old a look may be."""

    def __init__(self, registry: CollectorRegistry, seconds: float) -> None:
        self._looks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._seconds, self._looked = seconds, float("-inf")
        self._turn = asyncio.Lock()
        self._failures = Counter(
            "nearcode_observation_failures_total",
            "Looks at a source of metrics that failed or took too long, by source; its metrics are missing or old then.",
            ["source"],
            registry=registry,
        )

    def add(self, source: str, look: Callable[[], Awaitable[None]]) -> None:
        """Has `look` called before a scrape is answered. It sets the gauges of `source`; Unavailable is counted."""
        self._failures.labels(source)
        self._looks[source] = look

    async def refresh(self) -> None:
        """Looks, unless somebody just did."""
        async with self._turn:
            if time.monotonic() - self._looked < self._seconds:
                return
            await asyncio.gather(*map(self._look, self._looks))
            self._looked = time.monotonic()

    async def _look(self, source: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._looks[source]()
        except (NearcodeError, TimeoutError) as error:
            self._failures.labels(source).inc()
            log.warning("metrics are not up to date", source=source, error=str(error))
