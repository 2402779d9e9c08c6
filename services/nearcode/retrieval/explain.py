"""Candidates -> snippets with their reasons; losers with why they lost."""

from collections.abc import Sequence
from dataclasses import replace

from nearcode.domain.retrieval import Snippet
from nearcode.retrieval.fusion import Candidate

MOST_LOSERS = 50
"""Losers that are told, best first; nobody reads more."""

BELOW_MINIMUM = "scores below the minimum"
SAME_FILE = "another chunk of its file ranks higher"
BEYOND_LIMIT = "others rank higher"
NO_ROOM = "does not fit the token budget"


def snippet(candidate: Candidate) -> Snippet:
    """What the caller gets of a candidate."""
    hit, chunk = candidate.hit, candidate.hit.chunk
    return Snippet(
        chunk.repository, chunk.path, chunk.blob, chunk.start_line, chunk.end_line, candidate.score, chunk.text,
        reasons=dict(candidate.reasons), header=chunk.header, language=chunk.language, kind=chunk.kind,
        definitions=chunk.definitions, trace=hit.trace,
    )  # fmt: skip


def losers(beyond: Sequence[Candidate], below: Sequence[Candidate], no_room: Sequence[Snippet]) -> tuple[Snippet, ...]:
    """Everything that was found, may be read and did not make it, best first."""
    told = [replace(one, lost_because=NO_ROOM) for one in no_room]
    for candidate in beyond[:MOST_LOSERS]:
        why = SAME_FILE if "file again" in candidate.reasons else BEYOND_LIMIT
        told.append(replace(snippet(candidate), lost_because=why))
    told += [replace(snippet(candidate), lost_because=BELOW_MINIMUM) for candidate in below[:MOST_LOSERS]]
    return tuple(told[:MOST_LOSERS])
