"""A process of a tool that is a library: it indexes, answers one question, or answers one a line until stdin ends.

python -m benchmarks.peers.worker index|once|serve bm25|semble|semble-bm25 FOLDER HOME [QUESTION]
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.tools import LIMIT

WORD = re.compile(r"[a-zA-Z_]\w*|\d+")
PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
Search = Callable[[str], list[dict[str, Any]]]
CHUNKS = "chunks.json"


def tokens(text: str) -> list[str]:
    """Identifiers in lower case, each followed by its parts if there are several. Written anew so that asking bm25s need not
    load semble."""
    found = []
    for word in WORD.findall(text):
        parts = PART.findall(word)
        found += [word.lower(), *(part.lower() for part in parts if len(parts) > 1)]
    return found


def index_bm25(folder: Path, home: Path) -> None:
    """Cuts what semble would, with its words and the words of its paths, and saves bm25s's index and where chunks stand."""
    import bm25s
    from semble.chunking import chunk_source
    from semble.index.file_walker import walk_files
    from semble.index.files import FileStatus, detect_language, get_extensions, get_file_status, read_file_text
    from semble.index.sparse import enrich_for_bm25
    from semble.types import ContentType

    places, documents = [], []
    for file in walk_files(folder, get_extensions([ContentType.CODE])):
        if get_file_status(file, file.stat()) is not FileStatus.VALID:
            continue
        for chunk in chunk_source(read_file_text(file), str(file.relative_to(folder)), detect_language(file)):
            places.append(told(chunk.file_path, chunk.start_line, chunk.end_line, chunk.content, 0.0))
            documents.append(tokens(enrich_for_bm25(chunk)))
    retriever = bm25s.BM25()
    retriever.index(documents, show_progress=False)
    retriever.save(home, show_progress=False)
    (home / CHUNKS).write_text(json.dumps(places), "utf-8")


def bm25(folder: Path, home: Path) -> Search:
    """bm25s's index, loaded."""
    import bm25s

    retriever = bm25s.BM25.load(home)
    places = json.loads((home / CHUNKS).read_text("utf-8"))

    def search(question: str) -> list[dict[str, Any]]:
        asked = tokens(question)
        scores = retriever.get_scores(asked) if asked else np.zeros(len(places), np.float32)
        best = [at for at in np.argsort(-scores, kind="stable")[:LIMIT] if scores[at] > 0]
        return [{**places[at], "score": float(scores[at])} for at in best]

    return search


def semble(folder: Path, home: Path) -> Search:
    """semble's index, made or loaded from its cache below the home."""
    from semble import SembleIndex
    from semble.cache import save_index_to_cache

    made = SembleIndex.from_path(folder)
    save_index_to_cache(made, str(folder))

    def search(question: str) -> list[dict[str, Any]]:
        found = ((one.chunk, one.score) for one in made.search(question, LIMIT))
        return [told(chunk.file_path, chunk.start_line, chunk.end_line, chunk.content, score) for chunk, score in found]

    return search


def semble_bm25(folder: Path, home: Path) -> Search:
    """semble with nothing to learn from: its vectors are all alike and have no weight."""
    from semble.index import SembleIndex, dense

    class NoModel:
        dim = 1

        def encode(self, texts: list[str], **_options: Any) -> Any:
            return np.ones((len(texts), self.dim), np.float32)

    def no_model(model_path: str | None = None) -> tuple[Any, str]:
        return NoModel(), "none"

    import semble.index.index as building
    from semble.cache import save_index_to_cache

    vars(dense)["load_model"] = vars(building)["load_model"] = no_model
    made = SembleIndex.from_path(folder, model_path="none")
    save_index_to_cache(made, str(folder))

    def search(question: str) -> list[dict[str, Any]]:
        found = ((one.chunk, one.score) for one in made.search(question, LIMIT, alpha=0.0))
        return [told(chunk.file_path, chunk.start_line, chunk.end_line, chunk.content, score) for chunk, score in found]

    return search


def told(path: str, start: int, end: int, text: str, score: float) -> dict[str, Any]:
    """A result as semble's own command prints it."""
    return {"file_path": path, "start_line": start, "end_line": end, "score": score, "content": text}


LOADED = {"bm25": bm25, "semble": semble, "semble-bm25": semble_bm25}


def main() -> None:
    mode, kind, folder, home, *question = sys.argv[1:]
    if mode == "index" and kind == "bm25":
        index_bm25(Path(folder), Path(home))
        return
    search = LOADED[kind](Path(folder), Path(home))
    if mode == "index":
        return
    for line in question if mode == "once" else sys.stdin:
        print(json.dumps({"query": line.strip(), "results": search(line.strip())}), flush=True)


if __name__ == "__main__":
    main()
