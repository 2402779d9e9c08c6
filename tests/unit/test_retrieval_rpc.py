"""A question and its answer cross the wire unchanged, and a message cannot widen what may be read."""

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from nearcode.api.retrieval.v1 import retrieval_pb2 as pb
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import CodeCursor, Query
from nearcode.retrieval.rpc import RemoteRetriever, RetrievalServicer, query_from_proto, query_to_proto
from nearcode.runtime.server import Call

from tests.unit.retrieval_world import SHOP, World, scope

words = st.text(max_size=20)
names = st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1)
questions = st.builds(
    Query,
    question=words,
    limit=st.integers(1, 100),
    tokens=st.integers(0, 9999),
    min_score=st.floats(0, 1),
    path_prefix=words,
    everything=st.booleans(),
)
cursors = st.builds(Query, cursor=st.builds(CodeCursor, words, words, words), limit=st.integers(1, 100))


class Loopback:
    """Stands for a client: calls the servicer with bytes that were serialized and parsed."""

    def __init__(self, servicer: RetrievalServicer) -> None:
        self._servicer = servicer
        self.calls = 0

    async def unary(self, method: str, request: Message, seconds: float) -> Any:
        self.calls += 1
        call = Call("gateway", seconds)
        if method == "Retrieve":
            retrieve = pb.RetrieveRequest.FromString(request.SerializeToString())
            return pb.RetrieveResponse.FromString((await self._servicer.retrieve(retrieve, call)).SerializeToString())
        explain = pb.ExplainRequest.FromString(request.SerializeToString())
        return pb.ExplainResponse.FromString((await self._servicer.explain(explain, call)).SerializeToString())


@given(names, names, questions | cursors)
def test_a_question_crosses_unchanged(readable: frozenset[str], wanted: frozenset[str], query: Query) -> None:
    asked = Principal("ada", 7, readable | wanted).scope(wanted)
    assert query_from_proto(query_to_proto(asked, query)) == (asked, query)


async def test_answers_are_the_same_from_afar() -> None:
    local = World(SHOP).retrieval()
    remote = RemoteRetriever(Loopback(RetrievalServicer(local)))  # type: ignore[arg-type]
    query = Query(question="cart total", limit=2)
    here, there = await local.explain(scope(*SHOP), query, 60.0), await remote.explain(scope(*SHOP), query, 60.0)
    assert (there.snippets, there.losers, there.plan, there.dropped) == (here.snippets, here.losers, here.plan, here.dropped)
    assert (there.probability, there.useful, there.evidence) == (here.probability, here.useful, here.evidence)
    assert there.evidence and there.snippets[0].lanes and there.snippets[0].id
    assert [stage.name for stage in there.stages] == [stage.name for stage in here.stages]
    assert (await remote.retrieve(scope(*SHOP), query, 60.0)).snippets == here.snippets


async def test_a_question_to_no_repository_is_not_sent() -> None:
    client = Loopback(RetrievalServicer(World(SHOP).retrieval()))
    remote = RemoteRetriever(client)  # type: ignore[arg-type]
    nothing = Principal("ada", 1, frozenset({"shop"})).scope({"bank"})
    assert (await remote.retrieve(nothing, Query(question="withdraw"), 60.0)).snippets == ()
    assert (await remote.explain(nothing, Query(question="withdraw"), 60.0)).snippets == ()
    assert client.calls == 0


def test_a_message_cannot_ask_for_more_than_its_principal_may_read() -> None:
    message = pb.Query(principal=pb.Principal(user="ada", repositories=["shop"]), repositories=["bank"], question="x")
    assert query_from_proto(message).scope.repositories == frozenset()


def test_a_message_without_a_principal_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        query_from_proto(pb.Query(question="x"))


def test_a_message_without_a_limit_gets_the_default() -> None:
    assert query_from_proto(pb.Query(principal=pb.Principal(user="ada"), question="x")).query.limit == Query().limit
