"""Diversity: other files come before the next piece of the same one."""

from collections import defaultdict
from collections.abc import Sequence

from nearcode.retrieval.fusion import Candidate

AGAIN = 0.3
"""What each further chunk of one file keeps of its score: the next file tells more than the next piece of this one."""


def spread(candidates: Sequence[Candidate], again: float) -> list[Candidate]:
    """Lowers each further chunk of a file, and sorts."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    for candidate in sorted(candidates, key=order):
        file = (candidate.hit.chunk.repository, candidate.hit.chunk.path)
        if before := seen[file]:
            candidate.add("file again", -(1.0 - again**before) * abs(candidate.score))
        seen[file] += 1
    return sorted(candidates, key=order)


def order(candidate: Candidate) -> tuple[float, str, str, int, str]:
    """Best first; equals in a fixed order."""
    chunk = candidate.hit.chunk
    return (-candidate.score, chunk.repository, chunk.path, chunk.start_line, candidate.hit.id)
