"""What lifts and lowers a candidate for a cursor beside its lanes. Every signal is additive and named; every weight says why.

Weights are shares of the unit of fusion: 1 is worth as much as being the best candidate of every lane.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nearcode.domain.chunk import Chunk
from nearcode.retrieval.diversity import spread
from nearcode.retrieval.files import file_facts
from nearcode.retrieval.fusion import Candidate
from nearcode.retrieval.imports import edited_import_words, import_words, imported
from nearcode.retrieval.intent import Edited, Intent
from nearcode.retrieval.stems import last_name, name_stems

DEFINES_WORDS = 0.3
"""The words of a definition's name are those of names used near the cursor."""
FILE_NAME = 0.7
"""The file's name holds words of names used near the cursor: people name files for what they do."""
FOLDER_NAME = 0.12
"""The same for its folders, which say it less sharply."""
SAME_FILE = 0.12
"""Other candidates of the same file: a file that is found in several places is about what is written."""
IMPORTED = 0.25
"""The edited file imports the candidate's (useful snippets: 3 to 9 % from imported files, RepoCoder)."""
SIMILAR_IMPORTS = 0.15
"""Both files import the same (82 to 88 % of useful snippets, RepoCoder)."""
SAME_FOLDER = 0.12
"""The files are neighbours (46 to 60 % of useful snippets, RepoCoder); farther folders fall off by their distance."""
USED_NAME = 0.1
"""The chunk defines a name that is used near the cursor."""
LOWERED: Mapping[str, float] = {
    "test": 0.35,
    "example": 0.35,
    "document": 0.25,
    "generated": 0.4,
    "vendored": 0.4,
    "barrel": 0.1,
    "legacy": 0.2,
}
"""Share of its score that a file of a kind loses when the edited file is not of the kind: it repeats or uses what is needed,
and is rarely its home."""
AGAIN = 0.9
"""What each further chunk of one file keeps: whoever completes needs every neighbor of what he uses, not one piece of many
files."""


def rank(
    candidates: list[Candidate], intent: Intent, edited: Edited, words: Mapping[str, float], unit: float
) -> list[Candidate]:
    """Adds every signal and sorts, best first. `words` are the stems near the cursor with their shares (summing to 1)."""
    totals = _file_totals(candidates)
    best_total = max(totals.values(), default=0.0)
    bases = [candidate.score for candidate in candidates]
    names, context = intent.name_weights(), edited_import_words(edited.imports)
    places = {path: _place(path, edited, words) for path in {candidate.hit.chunk.path for candidate in candidates}}
    for candidate, base in zip(candidates, bases, strict=True):
        chunk = candidate.hit.chunk
        if best_total > 0.0:
            others = totals[chunk.repository, chunk.path] - base
            candidate.add("same file", SAME_FILE * unit * others / best_total)
        place, theirs = places[chunk.path], import_words(chunk.imports)
        candidate.add("imported", unit * place.imported)
        if context and theirs:
            overlap = len(context & theirs) / min(len(context), len(theirs))
            candidate.add("similar imports", SIMILAR_IMPORTS * unit * overlap)
        candidate.add("near folder", unit * place.near)
        candidate.add("defines", unit * _defines(chunk, names, words))
        candidate.add("file name", unit * place.file_name)
        candidate.add("folder name", unit * place.folder_name)
        _lower(candidate, chunk, intent)
    return spread(candidates, AGAIN)


def _file_totals(candidates: Sequence[Candidate]) -> dict[tuple[str, str], float]:
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for candidate in candidates:
        totals[candidate.hit.chunk.repository, candidate.hit.chunk.path] += candidate.score
    return totals


def _defines(chunk: Chunk, names: Mapping[str, float], words: Mapping[str, float]) -> float:
    best = 0.0
    for definition in chunk.definitions:
        last = last_name(definition).lower()
        if last in names:
            best = max(best, USED_NAME * names[last])
        stems = name_stems(last)
        shared = stems & words.keys()
        if shared:
            best = max(best, DEFINES_WORDS * sum(words[stem] for stem in shared) * len(shared) / len(stems))
    return best


class _Place(NamedTuple):
    """What a path gives to all chunks of its file."""

    imported: float
    near: float
    file_name: float
    folder_name: float


def _place(path: str, edited: Edited, words: Mapping[str, float]) -> _Place:
    facts = file_facts(path)
    shared = facts.name & words.keys()
    folders = (facts.folders & words.keys()) - shared
    return _Place(
        IMPORTED * imported(edited.imports, path),
        SAME_FOLDER * _nearness(edited.path, path),
        FILE_NAME * sum(words[stem] for stem in shared) * len(shared) / len(facts.name) if shared else 0.0,
        FOLDER_NAME * sum(words[stem] for stem in folders),
    )


def _nearness(one: str, other: str) -> float:
    """1 for the same folder, halved with each step between the two."""
    mine, theirs = one.split("/")[:-1], other.split("/")[:-1]
    common = 0
    for left, right in zip(mine, theirs, strict=False):
        if left != right:
            break
        common += 1
    return 0.5 ** (len(mine) + len(theirs) - 2 * common)


def _lower(candidate: Candidate, chunk: Chunk, intent: Intent) -> None:
    kinds = file_facts(chunk.path).kinds - intent.asked
    if kinds:
        kind = max(sorted(kinds), key=lambda each: LOWERED[each])
        candidate.add(f"{kind} file", -LOWERED[kind] * candidate.score)
