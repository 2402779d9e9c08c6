"""Plays the kubelet for the Pods of indexing Jobs on fake nodes: each runs its own command line as a local process.

Kubernetes itself makes and deletes the Pods and counts them; only the container is not one. A Job's template must carry
`UNTOUCHED`, so that the fake node does not complete its Pods by itself.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nearcode.runtime.child import leashed

from tests.k8s.kube import PODS, ApiError, Kube, Object

UNTOUCHED = {
    "pod-complete.stage.kwok.x-k8s.io/delay": "24h",
    "pod-complete.stage.kwok.x-k8s.io/jitter-delay": "24h",
}
"""Annotations of a Pod template: the fake node leaves its Pods running for a day."""
COMPLETED = {
    "pod-complete.stage.kwok.x-k8s.io/delay": "1s",
    "pod-complete.stage.kwok.x-k8s.io/jitter-delay": "2s",
}
"""Annotations of a Pod template: the fake node says after a second or two that its Pods have succeeded."""

GRACE_SECONDS = 45.0
"""Between SIGTERM and SIGKILL, as the chart's Pods have it."""
PROGRAMS = {"nearcode": [sys.executable, "-m", "nearcode"]}


@dataclass
class Container:
    """What became of one Pod's process. `code` is None while it runs."""

    pod: str
    job: str
    command: list[str]
    code: int | None = None
    deleted: asyncio.Event = field(default_factory=asyncio.Event)
    """Its Pod is, and so it was told to end."""


@dataclass
class Kubelet:
    """Runs what the Pods of Jobs in one namespace name. `environment`: that of the processes, instead of the Pod's own."""

    kube: Kube
    environment: Mapping[str, str]
    log: Path
    containers: dict[str, Container] = field(default_factory=dict)
    """By the Pod's uid, also those that have ended."""
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def failed(self) -> list[Container]:
        """Those that ended by themselves and not well, or had to be killed."""
        ended = [one for one in self.containers.values() if one.code is not None]
        return [one for one in ended if one.code == -9 or (one.code and not one.deleted.is_set())]

    @property
    def running(self) -> list[Container]:
        """Those at work, without those that were told to end."""
        return [one for one in self.containers.values() if one.code is None and not one.deleted.is_set()]

    async def run(self) -> None:
        """Until it is cancelled; then every process ends."""
        try:
            async for kind, pod in self.kube.watch(f"{PODS}?labelSelector=batch.kubernetes.io/job-name"):
                self._seen(kind, pod)
                for uid in [uid for uid, task in self._tasks.items() if task.done()]:
                    self._tasks.pop(uid).result()
        finally:
            for container in self.containers.values():
                container.deleted.set()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _seen(self, kind: str, pod: Object) -> None:
        uid, meta, spec = pod["metadata"]["uid"], pod["metadata"], pod["spec"]["containers"][0]
        container = self.containers.get(uid)
        if kind == "DELETED" or "deletionTimestamp" in meta:
            if container:
                container.deleted.set()
        elif container is None and pod.get("status", {}).get("phase") == "Running":
            line: list[str] = [*(spec.get("command") or ["nearcode"]), *spec.get("args", [])]
            job = meta["labels"]["batch.kubernetes.io/job-name"]
            container = Container(meta["name"], job, [*PROGRAMS[Path(line[0]).name], *line[1:]])
            self.containers[uid] = container
            self._tasks[uid] = asyncio.create_task(self._live(pod, container))

    async def _live(self, pod: Object, container: Container) -> None:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *leashed(container.command), env={**self.environment}, stdout=log, stderr=log
            )
        deleted, ended = asyncio.create_task(container.deleted.wait()), asyncio.create_task(process.wait())
        await asyncio.wait({deleted, ended}, return_when=asyncio.FIRST_COMPLETED)
        deleted.cancel()
        if not ended.done():
            await _end(process)
        container.code = await ended
        if not container.deleted.is_set():
            await self._tell(pod, container.code)

    async def _tell(self, pod: Object, code: int) -> None:
        """Sets the Pod's phase as the kubelet would."""
        spec = pod["spec"]["containers"][0]
        state = {"terminated": {"exitCode": code % 256, "reason": "Completed" if code == 0 else "Error"}}
        about = {"name": spec["name"], "image": spec["image"], "imageID": "", "ready": False, "restartCount": 0, "state": state}
        status = {"phase": "Succeeded" if code == 0 else "Failed", "containerStatuses": [about]}
        with suppress(ApiError):  # it was deleted meanwhile
            await self.kube.patch(f"{PODS}/{pod['metadata']['name']}/status", {"status": status})


async def _end(process: asyncio.subprocess.Process) -> None:
    """As the kubelet ends a container."""
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    except TimeoutError:
        process.kill()


@asynccontextmanager
async def kubelet(kube: Kube, environment: Mapping[str, str], log: Path) -> AsyncIterator[Kubelet]:
    """Every Pod of a Job in `kube`'s namespace runs; none when the block is left."""
    made = Kubelet(kube, environment, log)
    working = asyncio.create_task(made.run())
    try:
        yield made
        if working.done():
            working.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
