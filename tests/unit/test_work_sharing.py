"""Who works on what, and when an indexing Job is done."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain.errors import PermissionDenied
from nearcode.domain.manifest import Manifest, Served
from nearcode.domain.repository import RepositoryStatus
from nearcode.events.bus import subject
from nearcode.events.topology import Share, durable_of, of_one_repository, overlap
from nearcode.gateway.access import OpenAccess
from nearcode.gateway.repositories import ReadableRepositories
from nearcode.indexing_job import IndexingJob, ending

from tests.unit.memory_stores import MemoryManifests

IDS = st.sampled_from(["r" + "1" * 20, "r" + "2" * 20])
EVENTS = st.sampled_from([pb.RevisionSynced, pb.ChunksCut, pb.BatchIndexed])
BUILT = Manifest("rshop", "file:///shop", "shop", generation=2, wanted="c2")
SERVED = Served(2, "c2", "a2", 1, 1, 0.5)


@given(EVENTS, IDS, IDS)
def test_two_jobs_never_stand_in_each_others_way_but_workers_of_all_repositories_do(
    event: type[pb.RevisionSynced], one: str, other: str
) -> None:
    mine, yours = (subject(event, "acme", {"repository": id_}, "bulk") for id_ in (one, other))
    everybodys = subject(event, "acme", queue="bulk")
    assert overlap(mine, yours) == (one == other)
    assert overlap(mine, everybodys) and overlap(everybodys, mine)
    assert of_one_repository(mine) and not of_one_repository(everybodys)
    assert (durable_of(mine) == durable_of(yours)) == (one == other)
    assert not overlap(everybodys, subject(event, "other", queue="bulk"))


def test_a_share_of_the_queues() -> None:
    assert Share().queues("cut") == ("small", "bulk")
    assert Share(bulk=False).queues("cut") == ("small",)
    assert Share(bulk=False).queues("indexed") == ("small", "bulk")  # whoever cut and embedded it
    assert Share(bulk=False).queues("cut", fill=True) == ("fill",)
    assert Share(repository="rshop").queues("cut") == ("bulk",)
    assert Share(repository="rshop").queues("cut", fill=True) == ()


@pytest.mark.parametrize(
    ("manifest", "generation", "ended"),
    [
        (BUILT, 2, ""),
        (BUILT, 1, "superseded"),
        (replace(BUILT, served=SERVED), 2, "served"),
        (replace(BUILT, error="no such branch"), 2, "failed"),
        (None, 2, "gone"),
    ],
)
def test_a_job_ends_when_its_generation_is_not_wanted_any_more(manifest: Manifest | None, generation: int, ended: str) -> None:
    assert ending(manifest, generation) == ended


async def test_a_job_stays_while_messages_are_left_or_more_may_come() -> None:
    manifests, left = MemoryManifests(), {"synced": 1, "cut": 0}
    told: list[Mapping[str, int]] = []

    async def ask() -> dict[str, int]:
        return dict(left)

    job = IndexingJob(manifests, ask, "rshop", 2)
    await manifests.create(replace(BUILT, served=SERVED))
    assert await job.look(told.append) == ""  # of a build before
    left["synced"] = 0
    assert await job.look(told.append) == "served"
    await manifests.update(BUILT, 1)
    assert await job.look(told.append) == ""  # the planner is still at it
    assert told == [{"synced": 1, "cut": 0}, {"synced": 0, "cut": 0}, {"synced": 0, "cut": 0}]


async def test_where_resources_decide_nobody_connects_or_disconnects_by_hand() -> None:
    async def none() -> list[RepositoryStatus]:
        return []

    repositories = ReadableRepositories(None, OpenAccess(none), connect=False)  # type: ignore[arg-type]  # nobody gets that far
    for call in (repositories.connect("local", "https://host/team/shop"), repositories.disconnect("local", "rshop")):
        with pytest.raises(PermissionDenied, match="Repository resources: use kubectl apply"):
            await call
