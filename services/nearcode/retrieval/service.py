"""Finds the few pieces of code that matter, within the time and within what the caller may read."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from opentelemetry import trace

from nearcode.domain.budget import Budget, Clock, Share
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason
from nearcode.domain.index import DenseQuery, Hit
from nearcode.domain.principal import Scope
from nearcode.domain.repository import Revision, Revisions
from nearcode.domain.retrieval import Context, Query, Snippet
from nearcode.domain.spaces import Opened, Views
from nearcode.retrieval.beside import read_beside
from nearcode.retrieval.budget import cut
from nearcode.retrieval.calibration import judge, model_for
from nearcode.retrieval.call import Asking, Call, Found
from nearcode.retrieval.cursor import read_cursor
from nearcode.retrieval.dense import dense_query, question_weights
from nearcode.retrieval.evidence import weigh
from nearcode.retrieval.explain import Losers, dropped_by_ranking, snippet, told, trace_answer
from nearcode.retrieval.features import features
from nearcode.retrieval.fusion import Candidate, ChatLane, Lanes, fitting, fuse, gather
from nearcode.retrieval.graph import Graph
from nearcode.retrieval.graph_lane import GraphLane, GraphQuestion, graphs_of, joined, plan_graph
from nearcode.retrieval.graphs import Graphs
from nearcode.retrieval.idf import Idf, load_prior
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.lexical import attainable, definition_query, lexical_query
from nearcode.retrieval.observer import RetrievalObserver
from nearcode.retrieval.passages import passages
from nearcode.retrieval.question import read_question
from nearcode.retrieval.ranker import rank_by, weights_for
from nearcode.retrieval.ranking import rank
from nearcode.retrieval.reading import Asked, Reading
from nearcode.retrieval.recheck import Recheck
from nearcode.retrieval.settings import RetrievalSettings
from nearcode.telemetry.log import get_logger
from nearcode.telemetry.spans import staged

HIGHEST_LIMIT = 1_000
CURSOR_SHARE = 0.6
"""Of the candidates that a question's lanes are asked for, what a cursor's are asked for: from .4 to 1.5 it makes no difference
to the names still to be written that the context holds (.467 to .471 of 357 functions of 34 public packages), but to time. Ten
snippets are never looked for among fewer than 30 of a lane: 15 lose nothing beside the graph's lane, and .025 without it."""
EDITED_FILE_ROOM = 1.5
"""The edited file is most like itself: where many snippets are asked for, lanes are asked for more, so that enough is left."""
WORDS, NAMES, DENSE, GRAPH = "words", "names", "dense", "graph"
"""The lanes by their questions."""
CHAT_LANE = "chat lane"
GRAPH_LANE = "graph lane"
SHARES = {"revisions": 0.6, "search": 0.6, GRAPH_LANE: 0.1, "rank": 0.1}
"""Weights of a call's stages beside the embedding's, which is a setting. Nothing can be answered without the revisions, so
they may take long; nearly always they are in memory, and leave their share to the others."""

log = get_logger(__name__)
tracer = trace.get_tracer("nearcode.retrieval")


class Retrieval:
    """Implements `domain.retrieval.Retriever`. `clock` gives monotonic seconds.

    Raises Unavailable when the index or the revisions do not answer at all; lateness alone only makes the plan cheaper.
    """

    def __init__(
        self,
        views: Views,
        revisions: Revisions,
        settings: RetrievalSettings,
        clock: Clock = time.monotonic,
        observer: RetrievalObserver | None = None,
    ) -> None:
        self._observer = observer or RetrievalObserver()
        self._views, self._revisions = views, revisions
        self._settings, self._clock = settings, clock
        self._idf, self._graphs = Idf(load_prior(), []), Graphs()

    async def retrieve(self, scope: Scope, query: Query, seconds: float) -> Context:
        """Finds the best snippets for a question or a cursor."""
        return self._told(await self._answer(scope, query, seconds, explain=False))

    async def explain(self, scope: Scope, query: Query, seconds: float) -> Context:
        """The same snippets, with the losers and why they lost."""
        return self._told(await self._answer(scope, query, seconds, explain=True))

    def _told(self, context: Context) -> Context:
        self._observer.answered(context.plan, context.dropped)
        return context

    async def _answer(self, scope: Scope, query: Query, seconds: float, explain: bool) -> Context:
        call = await self.call(scope, query, seconds)
        if not scope.repositories:
            return Context((), "none")
        try:
            found = await self.find(call)
        finally:
            await call.close()
        if found is None or found.lanes.plan == "none":
            if call.failure:
                raise call.failure
            return Context((), "none", stages=tuple(call.budget.reports))
        with self._stage(call.budget, "rank"):
            span = trace.get_current_span()
            answer = choose(call, found, explain or span.is_recording())
            if span.is_recording():
                trace_answer(span, answer)
        if not explain:
            answer = replace(answer, losers=(), evidence={})
        return replace(answer, stages=tuple(call.budget.reports))

    async def call(self, scope: Scope, query: Query, seconds: float) -> Call:
        """A question, read. Raises InvalidRequest. Whoever calls closes it."""
        check(query)
        view = await self._views.view()
        if query.cursor:
            view = replace(view, chat=None)  # it answers questions; completions have an index of their own
        shares = {**SHARES, "embed": self._settings.embed_share} | ({CHAT_LANE: 0.2} if view.chat else {})
        intent = read_cursor(query.cursor) if query.cursor else read_question(query.question)
        share, room = (CURSOR_SHARE, EDITED_FILE_ROOM) if query.cursor else (1.0, 1.0)
        limit = round(max(self._settings.candidates * share, 2 * query.limit * room))
        return Call(scope, query, intent, Budget(seconds, shares, self._clock), limit, view)

    async def find(self, call: Call) -> Found | None:
        """Asks the lanes; the lexical one is under way while the question is embedded, so a late embedder costs nothing."""
        with self._stage(call.budget, "revisions") as share:
            revisions = await call.within(share.seconds(), self._current(call.scope))
            share.skipped = revisions is None
        if revisions is None:
            return None
        idf = self._idf_of([revisions[name] for name in sorted(revisions)])
        words = lexical_query(call.intent, idf, call.limit, call.folder)
        names = definition_query(call.intent, call.limit, call.folder)
        asking = Asking(call, call.view.completion.index)
        asking.add(WORDS, [words])
        asking.add(NAMES, [names] if names else [])
        asking.ask()
        await asking.leave()
        by_chat = call.start(chat_lane(call, call.view.chat)) if call.view.chat else None
        graphs = call.start(graphs_of(self._graphs, revisions, call.query.cursor))
        nearest = await self._embed(call, idf)
        asking.add(DENSE, [nearest] if nearest else [])
        looking = GraphQuestion(words, call.intent.names, call.query.question, call.query.cursor)
        by_graph = call.start(graph_lane(asking, graphs, looking, nearest))
        await asyncio.sleep(0)  # the graph's lane, if the graphs are there, goes along
        asking.ask()
        await asking.leave()
        cursor = call.query.cursor
        beside = read_beside(cursor) if cursor and call.query.tokens else None  # while the index is at work
        reading = None if cursor else Reading(Asked.read(call.intent, call.intent.word_shares(idf)))
        if reading:
            call.start(read_ahead(asking, reading))
        with self._stage(call.budget, "search") as share:
            await asking.wait(share.seconds())
            spoken, named, meant = asking.answer(WORDS), asking.answer(NAMES), asking.answer(DENSE)
            share.skipped = spoken is None or (meant is None and nearest is not None)
        chat = await self._chat(call, by_chat) if by_chat else None
        graph = await self._beside(call, by_graph)
        definition = named[0] if named else None
        lanes = Lanes(meant[0] if meant else None, spoken[0] if spoken else None, definition, chat, graph)
        return Found(lanes, idf, revisions, beside, reading)

    async def _beside(self, call: Call, lane: asyncio.Task[GraphLane]) -> GraphLane | None:
        """What the graph's lane found beside the others; None when it is late, and they answer without it."""
        with self._stage(call.budget, GRAPH_LANE) as share:
            await call.wait(share.seconds(), lane)
            graph = call.result(lane)
            share.skipped = graph is None
        return graph

    async def _chat(self, call: Call, lane: asyncio.Task[ChatLane]) -> ChatLane | None:
        """What the chat space found beside the other lanes; None when it is late or away, and they answer without it."""
        with self._stage(call.budget, CHAT_LANE) as share:
            await call.wait(share.seconds(), lane)
            try:
                chat = call.result(lane)
            except NearcodeError as error:  # its model was taken away, or it is another one than it was
                log.warning("the chat space is not asked", reason=error.reason, error=error.message)
                chat = None
            share.skipped = chat is None
        return chat

    async def _embed(self, call: Call, idf: Idf) -> DenseQuery | None:
        with self._stage(call.budget, "embed") as share:
            work = call.start(call.view.completion.embedder.embed_query(call.intent.text, question_weights(call.intent, idf)))
            await call.wait(share.seconds(), work)
            vector = call.result(work)
            share.skipped = vector is None
        return None if vector is None else dense_query(vector, call.limit, call.folder)

    def _idf_of(self, revisions: Sequence[Revision]) -> Idf:
        """Weights by these revisions: those of the question before, if it was asked of the same, for its words come again."""
        if not self._idf.is_of(revisions):
            self._idf = Idf(self._idf.prior, revisions)
        return self._idf

    def _stage(self, budget: Budget, name: str) -> AbstractContextManager[Share]:
        return staged(tracer, budget, name, self._observer.stage)

    async def _current(self, scope: Scope) -> dict[str, Revision]:
        names = sorted(scope.repositories)
        if len(names) == 1:  # without a task of its own
            served = [await self._revisions.current(names[0])]
        else:
            served = await asyncio.gather(*(self._revisions.current(name) for name in names))
        return {name: revision for name, revision in zip(names, served, strict=True) if revision is not None}


async def chat_lane(call: Call, chat: Opened) -> ChatLane:
    """The nearest chunks by the chat space's model, and the repositories of which it holds all that is served."""
    embedded = await chat.embedder.embed_query(call.intent.text, {})
    [hits] = await chat.index.search(call.scope, [dense_query(embedded, call.limit, call.folder)])
    collection = chat.index.space.collection
    names = sorted(call.scope.repositories)
    whole = await asyncio.gather(*(call.view.whole(name, collection) for name in names))
    return ChatLane(hits, frozenset(name for name, each in zip(names, whole, strict=True) if each))


async def graph_lane(
    asking: Asking, graphs: asyncio.Task[dict[str, Graph]], looking: GraphQuestion, nearest: DenseQuery | None
) -> GraphLane:
    """The best chunks of the files that the graph names, and definitions that the question spells otherwise."""
    plan = plan_graph(await graphs, looking, nearest)
    asking.add(GRAPH, plan.queries)
    asking.ask()
    return plan.lane(await asking.awaited(GRAPH))


async def read_ahead(asking: Asking, reading: Reading) -> None:
    """Reads what the words found while the index looks for the rest. Nothing of it counts before the re-check."""
    for hits in await asking.awaited(WORDS):
        reading.read(hits)


def check(query: Query) -> None:
    """Refuses a question that cannot be answered. Raises InvalidRequest."""
    if query.cursor is None and not query.question.strip():
        raise InvalidRequest("ask a question, or name a cursor", field="question")
    if query.cursor is not None and query.question:
        raise InvalidRequest("ask a question or name a cursor, not both", field="question")
    if query.limit < 1:
        raise InvalidRequest("limit must be at least 1", field="limit")
    if query.limit > HIGHEST_LIMIT:
        raise InvalidRequest(f"limit must be at most {HIGHEST_LIMIT}", Reason.TOO_LARGE, field="limit")
    if query.tokens < 0:
        raise InvalidRequest("tokens must not be negative", field="tokens")


def choose(call: Call, found: Found, explain: bool) -> Context:
    """Re-checks, fuses, ranks, judges and cuts: lanes -> snippets, and losers if they are asked for."""
    lanes, recheck = checked(call, found)
    fit = attainable(call.intent, found.idf)
    candidates, ranked = ranking(call.intent, found, lanes, fit)
    evidence = weigh(call.intent, found.idf, lanes, ranked, fit)
    model = model_for(call.query.cursor is not None, lanes.plan, len(found.revisions), call.intent.issue)
    verdict = judge(model, evidence, [candidate.score for candidate in ranked])
    for candidate, probability in zip(ranked, verdict.snippets, strict=True):
        candidate.probability = probability
    least = call.query.min_score or -math.inf  # scores below 0 tell the order of what fits badly
    good = [candidate for candidate in ranked if candidate.score >= least]
    whole = call.query.everything or (verdict.useful and not call.query.cursor)
    likely = good if whole else good[: verdict.kept]  # a list that was asked for is not shortened, only refused
    if call.query.cursor and found.beside:
        chosen, beyond = passages(good if likely else [], call.query.cursor, found.beside, call.query.tokens, call.query.limit)
        no_room: list[Snippet] = []
    else:
        chosen, no_room = cut([snippet(candidate) for candidate in likely[: call.query.limit]], call.query.tokens)
        beyond = likely[call.query.limit :]
    left_out = Losers(
        beyond=beyond,
        below=ranked[len(good) :],
        unlikely=good[len(likely) :],
        same_code=dropped_by_ranking(candidates, ranked),
        no_room=no_room,
        last=chosen[-1].score if chosen else 0.0,
    )
    lost = told(left_out) if explain else ()
    judged = (verdict.probability, verdict.useful, evidence)
    return Context(tuple(chosen), lanes.plan, lost, (), len(recheck.dropped), *judged)


def checked(call: Call, found: Found) -> tuple[Lanes, Recheck]:
    """The lanes' hits that count."""
    edited = call.intent.edited.path if call.intent.edited else ""
    recheck = Recheck(call.scope, found.revisions, call.folder, edited)
    lanes = found.lanes
    chat = ChatLane(recheck.keep(lanes.chat.hits, behind=True), lanes.chat.whole) if lanes.chat else None
    dense, lexical, definition = (_kept(recheck, hits) for hits in (lanes.dense, lanes.lexical, lanes.definition))
    if graph := lanes.graph.kept(recheck.keep) if lanes.graph else None:
        dense, lexical = joined(dense, graph.dense), joined(lexical, graph.lexical)
        definition = joined(definition or [], graph.definition) or definition
    lanes = Lanes(dense, lexical, definition, chat, graph)
    return lanes, recheck


def ranking(intent: Intent, found: Found, lanes: Lanes, fit: float) -> tuple[list[Candidate], list[Candidate]]:
    """Every candidate, and those kept, best first. `fit`: the lexical score of a chunk that holds the whole question."""
    words = intent.word_shares(found.idf)
    if intent.edited:
        fused = fuse(lanes, intent.symbolic, fit)
        return fused.candidates, rank(fused.candidates, intent, intent.edited, words, fused.unit)
    candidates, unit = gather(lanes), fitting(lanes, intent.symbolic, fit).unit
    reading = found.reading or Reading(Asked.read(intent, words))
    return candidates, rank_by(weights_for(lanes, intent.issue), candidates, features(candidates, lanes, reading), unit)


def _kept(recheck: Recheck, hits: Sequence[Hit] | None) -> list[Hit] | None:
    return None if hits is None else recheck.keep(hits)
