"""A process that does nothing but send: `python -m loadtest.generator` reads a job on stdin and prints the outcomes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nearcode.domain.retrieval import CodeCursor

from loadtest.arrivals import Arrival, poisson
from loadtest.caller import Caller, Target, requests
from loadtest.outcomes import Outcome

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Job:
    """What one process sends. `workspace` is the URL of the code that is asked about; deadlines are in seconds."""

    target: Target
    workspace: str
    questions: Sequence[str]
    places: Sequence[CodeCursor]
    mix: Mapping[str, float]
    deadlines: Mapping[str, float]
    connections: int = 4

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Job":
        places = [CodeCursor(**place) for place in values["places"]]
        return Job(**{**values, "target": Target(**values["target"]), "places": places})


async def generate(job: Job, rate: float, seconds: float, seed: int, processes: int = 1) -> list[Outcome]:
    """Offers `rate` calls a second for `seconds`, split over processes: parts of a Poisson process are Poisson processes.
    Raises RuntimeError when one of them fails."""
    running = [_spawn() for _ in range(processes)]
    texts = [json.dumps({"job": job.to_json(), "rate": rate / processes, "seconds": seconds, "seed": seed * 1000 + number})
             for number in range(processes)]  # fmt: skip
    told = await asyncio.gather(*(asyncio.to_thread(one.communicate, text) for one, text in zip(running, texts, strict=True)))
    for process, (_, errors) in zip(running, told, strict=True):
        if process.returncode != 0:
            raise RuntimeError(f"the generator failed:\n{errors[-2000:]}")
    return [Outcome(**json.loads(line)) for out, _ in told for line in out.splitlines()]


def _spawn() -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest.generator"], stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=_ROOT
    )


async def _send(job: Job, arrivals: Sequence[Arrival]) -> list[Outcome]:
    caller = Caller(job.target, requests(job.workspace, job.questions, job.places), job.deadlines, job.connections)
    try:
        await caller.connect()
        return await caller.run(arrivals)
    finally:
        await caller.close()


def main() -> None:
    given = json.loads(sys.stdin.read())
    job = Job.from_json(given["job"])
    for outcome in asyncio.run(_send(job, poisson(given["rate"], given["seconds"], job.mix, given["seed"]))):
        print(json.dumps(outcome.to_json()))


if __name__ == "__main__":
    main()
