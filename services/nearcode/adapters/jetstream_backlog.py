"""How much waits in the queues: in those of a process, and in all of them by repository; and emptying a repository's."""

import asyncio
from collections import Counter

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from nearcode.adapters.jetstream_errors import TIMEOUT, insist, nats_errors
from nearcode.api.events.v1.events_pb2 import BatchIndexed, ChunksCut, FillWanted, RevisionSynced, RevisionWanted
from nearcode.domain import backlog
from nearcode.events import topology
from nearcode.events.bus import Queue as QueueName
from nearcode.events.bus import subject
from nearcode.events.metrics import Queue

_QUARANTINE = "quarantine"


class Backlog:
    """Asks the broker about the consumers of `subjects`, which may grow, and about what was given up."""

    def __init__(self, client: Client, subjects: list[str], *, quarantine: bool = False) -> None:
        self._stream, self._subjects, self._quarantine = client.jetstream(timeout=TIMEOUT), subjects, quarantine

    async def queues(self) -> list[Queue]:
        """One a consumer that is there. Raises Unavailable."""
        with nats_errors():
            found = await asyncio.gather(*map(self._consumer, self._subjects))
            given_up = [await self._given_up()] if self._quarantine else []
        return [queue for queue in found if queue] + given_up

    async def _consumer(self, subject: str) -> Queue | None:
        stream, durable = topology.stream_of(subject), topology.durable_of(subject)
        try:
            info = await self._stream.consumer_info(stream, durable)
        except NotFoundError:  # nobody has consumed yet
            return None
        return Queue(stream, topology.stage_of(subject), info.num_pending or 0, info.num_ack_pending or 0)

    async def _given_up(self) -> Queue:
        state = (await self._stream.stream_info(_QUARANTINE)).state
        return Queue(_QUARANTINE, _QUARANTINE, state.messages, 0)


class JetStreamQueues:
    """Implements domain.backlog.Queues: work-queue streams keep a message until it is acknowledged, so what they hold is what
    waits or is worked on."""

    def __init__(self, client: Client, org: str) -> None:
        self._stream, self._org = client.jetstream(timeout=TIMEOUT), org

    async def backlog(self) -> backlog.Backlog:
        """Three questions to the broker, however many repositories there are. Raises Unavailable."""
        org = self._org
        filters = {"bulk": f"bulk.{org}.>", "work": f"work.small.*.{org}.>", "fill": f"fill.*.{org}.>"}
        bulk, small, fill = await asyncio.gather(*map(self._waiting, filters, filters.values()))
        of_jobs: Counter[str] = Counter()
        for each, count in bulk.items():
            if stage_of(each) in _JOB_STAGES:
                of_jobs[each.split(".")[_REPOSITORY_AT]] += count
        return backlog.Backlog(of_jobs, _by_stage(small), _by_stage(fill))

    async def purge(self, repository: str) -> None:
        """Deletes every message of a repository, of each queue and stage. Raises Unavailable."""
        events = [(each, queue) for each in (RevisionSynced, ChunksCut, BatchIndexed) for queue in _QUEUES]
        await asyncio.gather(
            *(self._purge(subject(each, self._org, {"repository": repository}, queue)) for each, queue in events)
        )
        for wish in (RevisionWanted, FillWanted):
            await self._purge(subject(wish, self._org, {"repository": repository}))

    async def _waiting(self, stream: str, subjects: str) -> dict[str, int]:
        """Messages by subject."""
        info = await insist(lambda: self._stream.stream_info(stream, subjects_filter=subjects))
        return info.state.subjects or {}

    async def _purge(self, subject_: str) -> None:
        await insist(lambda: self._stream.purge_stream(topology.stream_of(subject_), subject=subject_))


def _by_stage(waiting: dict[str, int]) -> Counter[str]:
    stages: Counter[str] = Counter()
    for each, count in waiting.items():
        stages[stage_of(each)] += count
    return stages
