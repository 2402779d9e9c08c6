"""Own-code questions of repositories, answered by nearcode and by BM25 with semble's ranking: paired differences.

    python benchmarks/own_code.py FOLDER... [--limit 200] [--json FILE]

FOLDERs are git work trees (or bare repositories) with their history. Questions are those of `nearcode eval`: documentation
that is hidden from what is indexed, commits, calls, and functions with lines missing. Both sides index the same files and are
scored by the same rules. The peer is semble 0.7 as a library (the `bench` group of pyproject.toml): its files, chunks, BM25,
boosts and penalties, with the weight of its vectors at 0, so that no model is needed. A cursor becomes a question of the 20
lines before it, and the edited file is left out, as it is for nearcode.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from nearcode import settings
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.retrieval import Context, Query, Snippet
from nearcode.evaluating import evaluate, fit, write
from nearcode.evaluation.asking import Asking
from nearcode.evaluation.comparison import Difference, compare
from nearcode.evaluation.documentation import hide
from nearcode.evaluation.question import Kind
from nearcode.evaluation.results import Evaluated, Evaluation, rows
from nearcode.own_code import Plan, Subject, prepare

PREFIX_LINES = 20
"""Lines before a cursor that make the peer's question; nearcode reads as many."""
IN_WORDS = frozenset({Kind.DOCUMENTATION, Kind.COMMIT})
"""What the peer is made for: a cursor is none of its questions."""
VARIANTS = {"BM25": False, "BM25 + semble's ranking": True}


class NoModel:
    """Stands in for the vectors: they have no weight."""

    dim = 1

    def encode(self, texts: Sequence[str], **_options: Any) -> "np.ndarray":
        return np.ones((len(texts), self.dim), np.float32)


class Semble:
    """BM25 of semble's chunks, with its ranking or without. Implements `domain.retrieval.Retriever`."""

    def __init__(self, folder: Path, ranking: bool) -> None:
        from semble.index.create import create_index_from_path

        self._ranking = ranking
        root = folder.resolve()
        self._model = cast(Any, NoModel())
        self._bm25, self._vectors, self._chunks, _ = create_index_from_path(root, self._model, display_root=root)

    @property
    def size(self) -> tuple[int, int]:
        """Files and chunks."""
        return len({chunk.file_path for chunk in self._chunks}), len(self._chunks)

    async def retrieve(self, scope: Scope, query: Query, seconds: float) -> Context:
        """Ranked chunks."""
        from semble.search import search

        asked, selector = query.question, None
        if query.cursor:
            asked = "\n".join(query.cursor.prefix.splitlines()[-PREFIX_LINES:])
            others = [at for at, chunk in enumerate(self._chunks) if chunk.file_path != query.cursor.path]
            selector = np.array(others, np.int_)
        indexes = self._model, self._vectors, self._bm25, self._chunks
        found = search(asked, *indexes, query.limit, alpha=0.0, selector=selector, rerank=self._ranking)
        chunks = [(result.chunk, result.score) for result in found]
        return Context(
            tuple(
                Snippet("", chunk.file_path, "", chunk.start_line, chunk.end_line, score, chunk.content)
                for chunk, score in chunks
            ),
            "lexical",
        )

    async def explain(self, scope: Scope, query: Query, seconds: float) -> Context:
        """The same."""
        return await self.retrieve(scope, query, seconds)


async def peer(subjects: Sequence[Subject], name: str, space: str) -> Evaluation:
    """The peer's answers, under the name of the space that they are compared with."""
    evaluated = []
    for subject in subjects:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), hide(subject.files, subject.questions))
            began = time.perf_counter()
            semble = Semble(Path(folder), VARIANTS[name])
            seconds = time.perf_counter() - began
            asking = Asking(semble, Principal("benchmark", 0, frozenset()).scope(), subject.files, fit)
            answers = tuple([await asking.answer(question) for question in subject.questions])
            evaluated.append(Evaluated(subject.name, space, *semble.size, seconds, answers))
    return Evaluation(name, {}, tuple(evaluated))


def show(name: str, evaluation: Evaluation) -> None:
    """Means of each repository and kind."""
    print(f"\n{name}")
    for row in rows(evaluation.evaluated):
        means = "  ".join(
            f"{metric} {row.metrics[metric].mean:.3f}"
            for metric in ("ndcg@10", "hit@10", "recall@500", "recall@2000", "precision@2000", "lift@2000", "ms")
            if metric in row.metrics
        )
        print(f"  {row.repository:<14} {row.questions:>4} {row.kind:<14} {means}")


def only(evaluation: Evaluation, kinds: frozenset[Kind]) -> Evaluation:
    """The answers to some kinds of questions."""
    kept = [
        replace(one, answers=tuple(answer for answer in one.answers if answer.kind in kinds)) for one in evaluation.evaluated
    ]
    return replace(evaluation, evaluated=tuple(kept))


def described(one: Difference, name: str = "") -> str:
    """A difference as a line."""
    change = one.change
    return (
        f"  {name or one.kind:<14} {change.count:>5} questions  {one.metric:<12} {one.before:.4f} -> {one.after:.4f}  "
        f"{change.mean:+.4f}  {change.low:+.4f} to {change.high:+.4f}"
    )


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    folders = tuple(folder.resolve() for folder in arguments.folders)
    plan = Plan(folders, limit=arguments.limit, everything=arguments.everything)
    configured = settings.load()
    subjects = await prepare(configured, plan, lambda *_: None)
    ours = await evaluate(configured, plan, subjects, lambda *_: None)
    show("nearcode", ours)
    told: dict[str, Any] = {"nearcode": [row.values() for row in rows(ours.evaluated)]}
    for name in VARIANTS:
        other = await peer(subjects, name, plan.spaces[0])
        show(name, other)
        differences = compare(other, ours)
        print(f"\nnearcode minus {name}, with 95 % intervals (bootstrap over questions in each repository)")
        for one in differences:
            print(described(one))
        in_words = compare(only(other, IN_WORDS), only(ours, IN_WORDS))[-1]
        print(described(in_words, "in words"))
        told[name] = {
            "means": [row.values() for row in rows(other.evaluated)],
            "differences": [one.values() for one in differences],
            "in words": in_words.values(),
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--limit", type=int, default=200, help="questions of a kind and repository")
    parser.add_argument("--all", dest="everything", action="store_true", help="without nearcode's cut-off")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    told = asyncio.run(run(arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
