"""Which shape of chunks finds what people ask for: definitions, windows, small siblings merged, long definitions split.

    python benchmarks/chunk_shapes.py --packages index.json [--languages python,go] [--packages-per-language 6] [--json FILE]

`index.json` lists public packages (`path`, `language`) outside the benchmarks' deny-list, as `training/` fetches them.
Questions are made of the packages themselves, per package and asked of it alone:

- doc: the documentation of a function, which is blanked in its source -> its lines
- file: the documentation of a class, blanked -> the file
- code: lines of a function -> the definitions in other files that they use (what a completion needs)

Chunks are ranked by half the lexical and half the static score, each scaled to 0..1. nDCG@10 counts the rank at which half of
the wanted lines have been shown. Recall is the share of the wanted lines in at most 512 or 2,048 tokens (4 bytes each) of at
most 10 chunks. Means over packages; the interval is a bootstrap over packages of the difference to `definition`.
"""

import argparse
import asyncio
import json
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nearcode.adapters.static_embedder import StaticEmbedder
from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.chunking.assembly import add_chunk
from nearcode.chunking.definition import Definition, Structure
from nearcode.chunking.grammars import grammar_for
from nearcode.chunking.layout import lay_out
from nearcode.chunking.shapes import Shape
from nearcode.chunking.structure import TooComplex, structure
from nearcode.chunking.windows import by_lines, unparsed
from nearcode.domain.chunk import Chunk
from nearcode.domain.index import FileTexts, Sparse
from nearcode.domain.languages import LANGUAGES, language_of
from nearcode.domain.sparse import document_vectors
from nearcode.domain.terms import count_identifiers, count_words, path_identifiers, term_id
from nearcode.embedding.profiles import profile
from nearcode.events.cutting import cut
from numpy.typing import NDArray

SEED = 20261121
BUDGETS = (512, 2048)
"""Tokens: what a completion is shown, what a conversation is shown."""
SPANS, BYTES_A_TOKEN = 10, 4
LARGEST = 200_000
QUESTIONS = 30
"""Of each kind and package."""
TASKS = ("doc", "file", "code")


@dataclass(frozen=True)
class Way:
    """A way to make chunks; `shape` None: windows. `above` is what is read above a chunk's text."""

    shape: Shape | None
    above: str = "scopes"


WAYS = {
    "window": Way(None),
    "definition": Way(Shape(60, 120, 120)),
    "text alone": Way(Shape(60, 120, 120), "nothing"),
    "whole header": Way(Shape(60, 120, 120), "header"),
    "split 24": Way(Shape(24, 48, 24)),
    "split 40": Way(Shape(40, 80, 40)),
    "merged 6/30": Way(Shape(60, 120, 120, 6, 30)),
    "merged 10/40": Way(Shape(60, 120, 120, 10, 40)),
    "merged 20/40": Way(Shape(60, 120, 120, 20, 40)),
    "merged 30/60": Way(Shape(60, 120, 120, 30, 60)),
    "merged, outline 60": Way(Shape(60, 60, 120, 20, 40)),
    "merged, header": Way(Shape(60, 120, 120, 20, 40), "header"),
}


@dataclass
class Question:
    """`text` is answered by `lines` (1-based) of `path`, or by any of its lines (None); chunks of `asker` do not count."""

    task: str
    text: str
    path: str
    lines: set[int] | None
    asker: str = ""


@dataclass
class Source:
    path: str
    data: bytes
    found: Structure
    language: str


@dataclass
class Package:
    sources: list[Source]
    questions: list[Question] = field(default_factory=list)


def read(folder: Path, language: str, most: int, chance: random.Random) -> list[Source]:
    """Up to `most` sources of a language that a grammar reads."""
    paths = sorted(path for path in folder.rglob("*") if (known := language_of(path.name)) and known.name == language)
    chance.shuffle(paths)
    sources = []
    for path in paths[:most]:
        if not path.is_file() or path.stat().st_size > LARGEST:
            continue
        name, data = path.relative_to(folder).as_posix(), path.read_bytes()
        if unparsed(name, data) is None and (found := parsed(language, data)):
            sources.append(Source(name, data, found, language))
    return sources


def parsed(language: str, data: bytes) -> Structure | None:
    try:
        return structure(grammar_for(LANGUAGES[language].grammar, data), data)
    except TooComplex:
        return None


def definitions(roots: Sequence[Definition]) -> Iterator[Definition]:
    for root in roots:
        yield root
        yield from definitions(root.children)


def make(sources: list[Source], chance: random.Random) -> Package:
    """Questions on sources, whose documentation is blanked where it is asked for."""
    questions: dict[str, list[Question]] = defaultdict(list)
    where: dict[bytes, list[tuple[Source, Definition]]] = defaultdict(list)
    asked: set[str] = set()
    for source in sources:
        data = bytearray(source.data)
        for one in definitions(source.found.roots):
            for name in one.names:
                where[source.data[slice(*name)]].append((source, one))
            text = documentation(source.data, one)
            if text and text not in asked and one.kind in ("function", "class"):
                asked.add(text)
                start, end = one.docstring or (0, 0)
                data[start:end] = bytes(byte if byte in b"\r\n" else 32 for byte in data[start:end])
                lines = wanted(one) if one.kind == "function" else None
                questions["doc" if lines else "file"].append(Question("doc" if lines else "file", text, source.path, lines))
        source.data = bytes(data)
    for source in sources:
        questions["code"] += list(uses(source, where, chance))
        source.found = parsed(source.language, source.data) or source.found
    return Package(sources, [one for kind in questions.values() for one in chance.sample(kind, min(len(kind), QUESTIONS))])


def documentation(data: bytes, one: Definition) -> str:
    """The first sentences of a documentation of 5 to 60 words; empty for others."""
    if not one.docstring:
        return ""
    words = data[slice(*one.docstring)].decode("utf-8", "replace").replace("*", " ").replace("/", " ").replace("#", " ").split()
    words = [word.strip("\"'") for word in words]
    return " ".join(words[:40]) if 5 <= len(words) <= 200 and one.names else ""


def wanted(one: Definition) -> set[int]:
    """Lines of a definition without its documentation, at most 60."""
    return set(range(one.head_first + 1, min(one.last, one.head_first + 59) + 2))


def uses(source: Source, where: dict[bytes, list[tuple[Source, Definition]]], chance: random.Random) -> Iterator[Question]:
    """One function of a source, and the definition of a name it uses that one other file defines."""
    functions = [one for one in definitions(source.found.roots) if one.kind == "function" and 6 <= one.last - one.first < 60]
    for one in chance.sample(functions, min(2, len(functions))):
        start, end = source.found.lines.span((one.head_first, one.last))
        names = {source.data[slice(*span)] for span in source.found.references if start <= span[0] < end}
        for name in sorted(names):
            found = where.get(name, [])
            if len(found) == 1 and found[0][0] is not source and len(name) > 4:
                target, definition = found[0]
                text = source.data[start:end].decode("utf-8", "replace")
                yield Question("code", text, target.path, wanted(definition), source.path)
                break


def outlined(source: Source, shape: Shape | None) -> FileOutline:
    language = LANGUAGES[source.language]
    if shape is None:
        result = by_lines(language, source.data)
    else:
        result = FileOutline(language=source.language)
        for piece in lay_out(source.found, shape):
            add_chunk(result, piece, source.found)
    result.file.path = source.path
    return result


@dataclass
class Index:
    """Chunks of a package with what they cover."""

    chunks: list[Chunk]
    lines: list[set[int]]
    costs: list[int]
    dense: NDArray[np.float32]
    terms: NDArray[np.uint32]
    rows: NDArray[np.int64]
    values: NDArray[np.float32]


def above(chunk: Chunk, way: Way) -> str:
    rows = {"scopes": chunk.scopes, "nothing": (), "header": tuple(chunk.header.split("\n")[1:])}[way.above]
    return "\n".join((*rows, chunk.text))


async def index(package: Package, way: Way, embedder: StaticEmbedder) -> Index:
    chunks: list[Chunk] = []
    lines: list[set[int]] = []
    texts: list[FileTexts] = []
    lexical: list[Sparse] = []
    for source in package.sources:
        outline = outlined(source, way.shape)
        own = cut("", outline, source.data)
        counts = tuple(count_identifiers(above(chunk, way)) for chunk in own)
        texts.append(FileTexts(source.path, tuple(chunk.text for chunk in own), counts))
        lexical += document_vectors(counts, [(*chunk.definitions, *path_identifiers(source.path)) for chunk in own])
        chunks += own
        lines += [covered(source, part.text) or set(range(part.start_line, part.end_line + 1)) for part in outline.chunks]
    terms = np.concatenate([one.indices for one in lexical])
    rows = np.repeat(np.arange(len(lexical)), [len(one.indices) for one in lexical])
    order = np.argsort(terms, kind="stable")
    values = np.concatenate([one.values for one in lexical])[order]
    costs = [len(chunk.text) // BYTES_A_TOKEN + 1 for chunk in chunks]
    dense = np.concatenate(await embedder.embed_files(texts))
    return Index(chunks, lines, costs, dense, terms[order], rows[order], values)


def covered(source: Source, spans: Sequence[int]) -> set[int]:
    at = source.found.lines.at
    pairs = zip(spans[::2], spans[1::2], strict=True)
    return {line + 1 for start, end in pairs for line in range(at(start), at(max(start, end - 1)) + 1)}


async def ranked(found: Index, question: Question, embedder: StaticEmbedder) -> list[int]:
    scores = np.zeros(len(found.chunks))
    weights: dict[int, float] = {}
    for term in map(term_id, count_words(question.text)):
        low, high = np.searchsorted(found.terms, [term, term + 1])
        weights[term] = math.log(1 + (len(found.chunks) - (high - low) + 0.5) / (high - low + 0.5))
        scores[found.rows[low:high]] += weights[term] * found.values[low:high]
    most = max(weights.values(), default=1.0)
    dense = found.dense @ await embedder.embed_query(question.text, {term: one / most for term, one in weights.items()})
    total = scaled(scores) + scaled(dense)
    if question.asker:
        total[[at for at, chunk in enumerate(found.chunks) if chunk.path == question.asker]] = -1
    return [int(at) for at in np.argsort(-total, kind="stable")[:200]]


def scaled(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else scores * 0


def gained(found: Index, question: Question, order: Sequence[int]) -> float:
    """nDCG@10: one answer, at the rank where half of it has been shown."""
    seen = set[int]()
    for rank, at in enumerate(order[:10], 1):
        if found.chunks[at].path == question.path:
            seen |= found.lines[at]
            if question.lines is None or 2 * len(seen & question.lines) >= len(question.lines):
                return 1 / math.log2(rank + 1)
    return 0.0


def recalled(found: Index, question: Question, order: Sequence[int], room: int) -> float:
    """The share of the wanted lines among the best chunks that fit `room` tokens."""
    spans, shown, hit = SPANS, set[int](), False
    for at in order:
        if spans and found.costs[at] <= room:
            room, spans = room - found.costs[at], spans - 1
            if found.chunks[at].path == question.path:
                shown |= found.lines[at]
                hit = True
    return float(hit) if question.lines is None else len(shown & question.lines) / len(question.lines)


async def measure(package: Package, embedder: StaticEmbedder) -> dict[str, dict[str, float]]:
    """Scores of each way: `doc`, `doc recall`, ..., `chunks a file`."""
    result: dict[str, dict[str, float]] = {}
    for name, way in WAYS.items():
        found = await index(package, way, embedder)
        scores: dict[str, list[float]] = defaultdict(list)
        for question in package.questions:
            order = await ranked(found, question, embedder)
            scores[question.task].append(gained(found, question, order))
            for room in BUDGETS:
                scores[f"{question.task} {room}"].append(recalled(found, question, order, room))
        result[name] = {key: float(np.mean(values)) for key, values in scores.items()}
        result[name]["chunks a file"] = len(found.chunks) / len(package.sources)
    return result


def difference(rows: Sequence[dict[str, dict[str, float]]], way: str, key: str) -> str:
    deltas = np.array([row[way][key] - row["definition"][key] for row in rows if key in row[way]])
    if len(deltas) < 2:
        return ""
    drawn = np.random.default_rng(SEED).integers(0, len(deltas), (2000, len(deltas)))
    low, high = np.quantile(deltas[drawn].mean(axis=1), [0.025, 0.975])
    return f"{deltas.mean():+.3f} [{low:+.3f} {high:+.3f}]"


def table(title: str, rows: Sequence[dict[str, dict[str, float]]]) -> None:
    keys = [key for task in TASKS for key in (task, *(f"{task} {room}" for room in BUDGETS))]
    print(f"\n{title}: {len(rows)} packages\n{'way':<22}" + "".join(f"{key:>10}" for key in keys) + "  chunks a file")
    for way in WAYS:
        means = [[row[way][key] for row in rows if key in row[way]] for key in (*keys, "chunks a file")]
        print(f"{way:<22}" + "".join(f"{np.mean(one) if one else math.nan:10.3f}" for one in means), flush=True)


async def run(arguments: argparse.Namespace) -> None:
    embedder = StaticEmbedder(profile("wordllama-256"))
    by_language: dict[str, list[Path]] = defaultdict(list)
    for entry in json.loads(arguments.packages.read_text()):
        by_language[entry["language"]].append(Path(entry["path"]))
    every: dict[str, list[dict[str, dict[str, float]]]] = {}
    for language in arguments.languages.split(",") if arguments.languages else sorted(by_language):
        chance = random.Random(SEED)
        folders = sorted(by_language[language])
        chance.shuffle(folders)
        rows: list[dict[str, dict[str, float]]] = []
        for folder in folders:
            sources = read(folder, language, arguments.files, chance) if language in LANGUAGES else []
            package = make(sources, chance) if len(sources) >= 10 else Package([])
            if len(rows) == arguments.packages_per_language:
                break
            if len(package.questions) >= 20:
                rows.append(await measure(package, embedder))
        if rows:
            every[language] = rows
            table(language, rows)
    together = [row for rows in every.values() for row in rows]
    table("all", together)
    print("\ndifference to `definition` with 95 % interval, nDCG@10 of doc, file, code; recalls of doc and code")
    for way in WAYS:
        keys = (*TASKS, *(f"{task} {room}" for task in ("doc", "code") for room in BUDGETS))
        print(f"{way:<22}" + "  ".join(difference(together, way, key) for key in keys))
    if arguments.json:
        arguments.json.write_text(json.dumps(every, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--languages", default="", help="separated by commas")
    parser.add_argument("--packages-per-language", type=int, default=6)
    parser.add_argument("--files", type=int, default=200, help="of a package, drawn at random")
    parser.add_argument("--json", type=Path)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
