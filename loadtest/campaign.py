"""The whole measurement: find the knee, then run at multiples of it, with and without admission control."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc

from loadtest.caller import Target
from loadtest.embedded import Cores, EmbeddedEngine, engine
from loadtest.figures import Run, run_figures
from loadtest.generator import Job, generate
from loadtest.knee import KneeSearch
from loadtest.updates import Repository, Updates

FIRST_RATE = 16.0
"""Calls a second at which the search for the knee begins: what two cores without a GPU answer easily."""
WARM_RATE, WARM_SECONDS = 4.0, 4.0
"""Before anything is measured: the model is loaded, caches are filled, speeds are learned."""
PROBE_CALLS = 60
"""In a probe at least: with fewer, two unlucky calls pass for the knee."""
SETTLE_SECONDS = 1.0
"""Between two runs: what the last one left behind is not the next one's load."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured. `updates` is changed files a second, 0 none."""

    job: Job
    factors: Sequence[float]
    seconds: float
    probe_seconds: float
    updates: float
    seed: int
    processes: int


@dataclass(slots=True)
class Result:
    """`knee` in calls a second; `capacity` is the goodput measured there. `found`: the knee is one, not the next best rate."""

    knee: float = 0.0
    found: bool = True
    probes: list[tuple[float, float]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @property
    def capacity(self) -> float:
        """Goodput at the knee; the best there is when no run was at the knee."""
        at_knee = [run.goodput for run in self.runs if run.factor == 1.0 and run.admission]
        return at_knee[0] if at_knee else max((run.goodput for run in self.runs), default=0.0)


class Campaign:
    """Measures a plan; `say` is told how it goes."""

    def __init__(self, plan: Plan, home: Path, code: Path, generate: bool, say: Callable[[str], None]) -> None:
        self._plan, self._home, self._code, self._generate, self._say = plan, home, code, generate, say
        self._result = Result()

    async def embedded(self, modes: Sequence[str], rate: float | None) -> Result:
        """On engines of our own, one a mode, over one index; the knee is looked for in the first mode."""
        for mode in modes:
            with engine(self._home, admission=mode == "on", generate=self._generate) as running:
                self._say(f"engine with admission control {mode}")
                await self._checked(running, mode == "on", rate or self._result.knee)
        return self._result

    async def running(self, rate: float | None = None) -> Result:
        """On an engine that runs already, as it is configured."""
        await self._measure(self._plan.job.target, True, rate or 0.0, 0)
        return self._result

    async def _checked(self, running: EmbeddedEngine, admission: bool, rate: float) -> None:
        try:
            await self._measure(running.target, admission, rate, running.pid)
        except (RuntimeError, grpc.aio.AioRpcError):
            running.check()  # says more than that nobody answers
            raise

    async def _measure(self, target: Target, admission: bool, rate: float, pid: int) -> None:
        plan = self._plan
        job = replace(plan.job, target=target)
        channel = target.channel()
        try:
            repository = Repository(target, channel, job.workspace)
            if pid:
                status = await repository.connect()
                self._say(f"indexed {status.files} files, {status.chunks} chunks in {status.seconds:.1f} s")
            await generate(job, WARM_RATE, WARM_SECONDS, plan.seed)
            if not rate:
                rate = await self._find_knee(job, repository)
            self._result.knee = rate
            for number, factor in enumerate(plan.factors):
                await asyncio.sleep(SETTLE_SECONDS)
                cores = Cores(pid) if pid else None
                async with Updates(repository, self._code, plan.updates, plan.seed + number) as updates:
                    run = await self._run(job, rate * factor, plan.seconds, plan.seed + number, (admission, factor))
                run.freshness, run.cores = updates.figures(), cores.used() if cores else {}
                self._result.runs.append(run)
                self._say(_line(run))
        finally:
            await channel.close(None)

    async def _find_knee(self, job: Job, repository: Repository) -> float:
        search, number = KneeSearch(FIRST_RATE), 1000
        while (rate := search.next_rate()) is not None:
            async with Updates(repository, self._code, self._plan.updates, number):
                run = await self._run(job, rate, max(self._plan.probe_seconds, PROBE_CALLS / rate), number, (True, 0.0))
            self._say(f"  probe {_line(run)}")
            search.tell(rate, run.share)
            number += 1
            await asyncio.sleep(SETTLE_SECONDS)
        self._result.probes, self._result.found = search.probes, bool(search.knee)
        if not search.knee:
            self._say("no rate was answered well enough: is the machine busy? The knee is taken where goodput was highest")
        return search.knee or search.busiest

    async def _run(self, job: Job, rate: float, seconds: float, seed: int, what: tuple[bool, float]) -> Run:
        outcomes = await generate(job, rate, seconds, seed, self._plan.processes)
        admission, factor = what
        return run_figures(outcomes, rate=rate, seconds=seconds, admission=admission, factor=factor)


def _line(run: Run) -> str:
    text = f"{run.offered:7.1f}/s offered, {run.goodput:7.1f}/s good ({run.share:4.0%})"
    return text + ("" if run.valid else f"  INVALID: the generator was {run.lag['p95']} ms late")
