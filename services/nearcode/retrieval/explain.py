"""Candidates -> snippets with their reasons; near misses with why they lost; the same for traces, without code."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from opentelemetry.trace import Span

from nearcode.domain.retrieval import Context, Snippet
from nearcode.retrieval.fusion import Candidate
from nearcode.telemetry import conventions

MOST_LOSERS = 50
"""Losers that are told, best first; nobody reads more."""
MOST_TRACED = 10
"""Snippets, and as many losers, that a trace tells of."""

BELOW_MINIMUM = "scores below the minimum"
BELOW_CUTOFF = "is unlikely to be useful"
SAME_FILE = "another chunk of its file ranks higher"
SAME_CODE = "says what a better one says already"
BEYOND_LIMIT = "others rank higher"
NO_ROOM = "does not fit the token budget"

AGAIN = "file again"
"""The reason under which ranking takes from further chunks of one file."""


@dataclass(frozen=True, slots=True)
class Losers:
    """Candidates and snippets that did not make it, each list best first, by what kept them out.

    `last` is the score of the last winner; `same_code` were left out because better ones say the same.
    """

    beyond: Sequence[Candidate] = ()
    below: Sequence[Candidate] = ()
    unlikely: Sequence[Candidate] = ()
    same_code: Sequence[Candidate] = ()
    no_room: Sequence[Snippet] = ()
    last: float = 0.0


def snippet(candidate: Candidate) -> Snippet:
    """What the caller gets of a candidate."""
    hit, chunk = candidate.hit, candidate.hit.chunk
    return Snippet(
        chunk.repository, chunk.path, chunk.blob, chunk.start_line, chunk.end_line, candidate.score, chunk.text,
        reasons=candidate.reasons, header=chunk.header, language=chunk.language, kind=chunk.kind,
        definitions=chunk.definitions, trace=hit.trace, lanes=tuple(candidate.found_by.values()), id=hit.id,
        probability=candidate.probability,
    )  # fmt: skip


def dropped_by_ranking(found: Sequence[Candidate], ranked: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that ranking left out because better ones say the same."""
    if len(found) == len(ranked):
        return []
    kept = {id(candidate) for candidate in ranked}
    return [candidate for candidate in found if id(candidate) not in kept]


def told(losers: Losers) -> tuple[Snippet, ...]:
    """Everything that was found, may be read and did not make it, with why: first what came nearest to being shown."""
    lost = [replace(one, lost_because=NO_ROOM) for one in losers.no_room]
    lost += [replace(snippet(one), lost_because=_why(one, losers.last)) for one in losers.beyond[:MOST_LOSERS]]
    for candidates, why in (
        (losers.unlikely, BELOW_CUTOFF),
        (losers.same_code, SAME_CODE),
        (losers.below, BELOW_MINIMUM),
    ):
        lost += [replace(snippet(one), lost_because=why) for one in candidates[:MOST_LOSERS]]
    return tuple(lost[:MOST_LOSERS])


def _why(candidate: Candidate, last: float) -> str:
    """Whether it would have won, had its file not been there already."""
    again = candidate.added.get(AGAIN, 0.0)
    return SAME_FILE if again < 0.0 and candidate.score - again >= last else BEYOND_LIMIT


def trace_answer(span: Span, context: Context) -> None:
    """The explanation as attributes and events of a span: ids and numbers, never code, paths or names in code; bounded."""
    evidence = {name: round(value, 6) for name, value in context.evidence.items()}
    span.set_attributes(conventions.answer(context.probability, context.useful, evidence))
    for kind, each in ((conventions.RESULT, context.snippets), (conventions.NEAR_MISS, context.losers)):
        for rank, one in enumerate(each[:MOST_TRACED], 1):
            lanes = {find.lane: find.rank for find in one.lanes}
            judged = (one.score, one.probability)
            span.add_event(kind, conventions.candidate(one.id, rank, judged, one.reasons, lanes, one.lost_because))
