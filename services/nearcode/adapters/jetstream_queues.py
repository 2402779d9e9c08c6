"""What waits in all queues of the indexing flow, by repository and by stage; and emptying those of a repository."""

import asyncio
from collections import Counter

from nats.aio.client import Client

from nearcode.adapters.jetstream_errors import TIMEOUT, insist
from nearcode.api.events.v1.events_pb2 import BatchIndexed, ChunksCut, FillWanted, RevisionSynced, RevisionWanted
from nearcode.domain.backlog import Backlog
from nearcode.events import topology
from nearcode.events.bus import subject

_REPOSITORY_AT = 2
"""Where a subject of the bulk stream says its repository."""
_JOB_STAGES = ("synced", "cut")
"""What Jobs work on. What became of a batch is for ingestion, which is always there."""
_QUEUES: tuple[topology.Queue, ...] = ("small", "bulk", "fill")


class JetStreamQueues:
    """Implements domain.backlog.Queues: work-queue streams keep a message until it is acknowledged, so what they hold is what
    waits or is worked on."""

    def __init__(self, client: Client, org: str) -> None:
        self._stream, self._org = client.jetstream(timeout=TIMEOUT), org

    async def backlog(self) -> Backlog:
        """Three questions to the broker, however many repositories there are. Raises Unavailable."""
        org = self._org
        filters = {"bulk": f"bulk.{org}.>", "work": f"work.small.*.{org}.>", "fill": f"fill.*.{org}.>"}
        bulk, small, fill = await asyncio.gather(*map(self._waiting, filters, filters.values()))
        of_jobs: Counter[str] = Counter()
        for each, count in bulk.items():
            if topology.stage_of(each) in _JOB_STAGES:
                of_jobs[each.split(".")[_REPOSITORY_AT]] += count
        return Backlog(of_jobs, _by_stage(small), _by_stage(fill))

    async def purge(self, repository: str) -> None:
        """Deletes every message of a repository, of each queue and stage, and its wishes. Raises Unavailable."""
        fields = {"repository": repository}
        events = (RevisionSynced, ChunksCut, BatchIndexed)
        subjects = [subject(event, self._org, fields, queue) for event in events for queue in _QUEUES]
        subjects += [subject(wish, self._org, fields) for wish in (RevisionWanted, FillWanted)]
        await asyncio.gather(*map(self._purge, subjects))

    async def _waiting(self, stream: str, subjects: str) -> dict[str, int]:
        """Messages by subject."""
        info = await insist(lambda: self._stream.stream_info(stream, subjects_filter=subjects))
        return info.state.subjects or {}

    async def _purge(self, subjects: str) -> None:
        await insist(lambda: self._stream.purge_stream(topology.stream_of(subjects), subject=subjects))


def _by_stage(waiting: dict[str, int]) -> Counter[str]:
    stages: Counter[str] = Counter()
    for each, count in waiting.items():
        stages[topology.stage_of(each)] += count
    return stages
