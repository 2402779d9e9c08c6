"""A table alone, cosine and nothing else, on questions that people or models wrote for public repositories.

    python -m training.embedder.benchmark --corpus FOLDER --repos repos.json --annotations FOLDER [--whole] [--table FOLDER]

For reports only: nothing is chosen by these scores. nDCG@10 with binary relevance, mean per repository, then over repositories,
of the best chunk of each file (`files`) and of chunks as they come (`chunks`).
"""

import argparse
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nearcode.adapters.static_embedder import QUESTION_POWER
from nearcode.chunking.outline import outline
from nearcode.domain.languages import language_of
from nearcode.domain.retrieval import Snippet
from nearcode.domain.terms import count_words
from nearcode.events.cutting import cut
from numpy.typing import NDArray

from benchmarks.scoring import Target, ndcg, targets
from training.embedder.matrices import Vocabulary
from training.embedder.questions import Asked
from training.embedder.scoring import Examination, chunk_vectors, examinations, unit


def read_repository(root: Path, questions: Sequence[dict[str, Any]]) -> tuple[Asked, list[Snippet]]:
    """A checkout cut into chunks, and the place of each chunk."""
    files, places = {}, []
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 1_000_000 or "/." in f"/{relative}":
            continue
        source = path.read_bytes()
        language = language_of(path.name, source[:200])
        if language is None or language.asked_only or b"\0" in source[:8000]:
            continue
        found = outline(relative, source)
        found.file.path = relative
        chunks = cut("", found, source)
        if chunks:
            files[relative] = [count_words("\n".join((*chunk.scopes, chunk.text))) for chunk in chunks]
            places += [Snippet("", relative, "", chunk.start_line, chunk.end_line, 0.0, "") for chunk in chunks]
    first = next(iter(files))
    return Asked(files, [("", count_words(each["query"]), first) for each in questions]), places


def scores(
    exam: Examination, places: Sequence[Snippet], wanted: Sequence[list[Target]], rows: NDArray[np.float32],
    power: float = QUESTION_POWER,
) -> Iterator[tuple[float, float]]:  # fmt: skip
    """nDCG@10 of files and of chunks, for each question."""
    questions = exam.questions.copy()
    questions.data = np.clip(questions.data, 0, 1) ** power
    similar = unit(questions @ rows) @ chunk_vectors(exam, rows).T
    for row, answers in zip(similar, wanted, strict=True):
        ordered = [places[at] for at in np.argsort(-row, kind="stable")[:400]]
        best: dict[str, Snippet] = {}
        for place in ordered:
            best.setdefault(place.path, place)
        yield ndcg(list(best.values()), answers), ndcg(ordered, answers)


def read_all(corpus: Path, repos: Path, annotations: Path, whole: bool) -> list[tuple[str, Asked, list[Any], list[Any]]]:
    """All repositories, cut."""
    told = []
    for repo in json.loads(repos.read_text()):
        questions = json.loads((annotations / f"{repo['name']}.json").read_text())
        root = corpus / repo["name"] / ("" if whole else repo["root"] or "")
        asked, places = read_repository(root, questions)
        told.append((repo["name"], asked, places, [targets(each) for each in questions]))
    return told


def main() -> None:
    """Prints the mean."""
    from training.embedder.publishing import read_table
    from training.embedder.table import spread

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "repos", "annotations"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--cache", type=Path, help="keeps what was cut")
    args = parser.parse_args()
    if args.cache and args.cache.exists():
        told = pickle.loads(args.cache.read_bytes())
    else:
        told = read_all(args.corpus, args.repos, args.annotations, args.whole)
        if args.cache:
            args.cache.write_bytes(pickle.dumps(told))
    table, vocabulary = read_table(args.table), Vocabulary()
    exams = examinations([each[1] for each in told], vocabulary)
    rows = spread(list(vocabulary.number), table.names) @ table.rows
    per = [np.mean(list(scores(exam, each[2], each[3], rows)), axis=0) for exam, each in zip(exams, told, strict=True)]
    for (name, *_), (files, chunks) in zip(told, per, strict=True):
        print(f"{name:22} files {files:.3f}  chunks {chunks:.3f}")
    files, chunks = np.mean(per, axis=0)
    print(f"{len(per)} repositories: nDCG@10 of files {files:.4f}, of chunks {chunks:.4f}")


if __name__ == "__main__":
    main()
