"""The static table by itself: chunks a second that one core encodes, on real code, and what the steps around it cost.

    python benchmarks/encoding.py PATH            # e.g. an unpacked Django sdist

Seconds are of the processor, the best of `--rounds`, so that other programs on the machine count little. `cut` is from outlines
to texts with their words counted, which the lexical lane needs as well; `encode` from counted texts to vectors; `encode from
text` counts the words, too. Each round begins with a table that has seen no word.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from nearcode.adapters.static_embedder import StaticEmbedder
from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.repositories.v1.repositories_pb2 import FileState
from nearcode.chunking.outline import outline
from nearcode.chunking.shapes import SHAPES
from nearcode.domain.index import FileTexts
from nearcode.domain.languages import language_of
from nearcode.domain.repository import blob_id
from nearcode.embedding.profiles import profile
from nearcode.embedding.reading import read_files
from nearcode.embedding.settings import EmbeddingSettings

BATCH = 20
"""Files at once: about what an event of the indexing flow holds."""
LARGEST = 1_000_000

T = TypeVar("T")


def outlined(root: Path) -> list[tuple[FileOutline, bytes]]:
    """Outlines of the files below `root` that an index takes, in the shape of the static space."""
    found = []
    for file in sorted(root.rglob("*")):
        path = str(file.relative_to(root))
        if not file.is_file() or language_of(path) is None or file.stat().st_size > LARGEST:
            continue
        source = file.read_bytes()
        made = outline(path, source, SHAPES["siblings"])
        made.file.path, made.file.blob, made.file.size = path, blob_id(source), len(source)
        if made.state == FileState.FILE_STATE_INDEXED:
            found.append((made, source))
    return found


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Processor seconds of this process, and the result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def encode(files: list[FileTexts]) -> float:
    """Seconds to embed the files in batches."""
    embedder = StaticEmbedder(profile(EmbeddingSettings().profile))
    embedder.embed([])  # reads the table
    waiting = iter(files)
    return seconds(lambda: [embedder.embed(batch) for batch in iter(lambda: list(islice(waiting, BATCH)), [])])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    model = profile(EmbeddingSettings().profile)
    took, outlines = seconds(lambda: outlined(args.path))
    print(f"parse                {took:6.2f} s   {len(outlines)} files")
    batches = [outlines[at : at + BATCH] for at in range(0, len(outlines), BATCH)]
    took, read = seconds(lambda: [file for batch in batches for file in read_files("benchmark", batch, model)])
    chunks = sum(len(file.chunks) for file in read)
    print(f"cut                  {took:6.2f} s   {chunks} chunks")
    counted = [file.texts for file in read]
    for name, files in (("encode", counted), ("encode from text", [replace(each, counts=()) for each in counted])):
        best = min(encode(files) for _ in range(args.rounds))
        print(f"{name:<20} {best:6.2f} s   {chunks / best:,.0f} chunks a second on one core (>= 15,000)")


if __name__ == "__main__":
    main()
