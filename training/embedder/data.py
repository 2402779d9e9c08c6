"""Turns packages into what is trained with (`pairs.npz`) and what is chosen by (`questions.pickle`)."""

import json
import logging
import pickle
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from training.embedder.denylist import DenyList
from training.embedder.matrices import Rows, Vocabulary
from training.embedder.pairs import Pair, package_pairs
from training.embedder.questions import Asked, ask, held_out

_LOG = logging.getLogger("nearcode.training")


def make_data(home: Path, deny: DenyList, processes: int) -> None:
    """Writes `pairs.npz`, `words.txt` and `questions.pickle` below `home`. Seconds are logged."""
    began = time.monotonic()
    index: list[dict[str, str]] = json.loads((home / "packages" / "index.json").read_text("utf-8"))
    index.sort(key=lambda each: (each["registry"], each["name"]))
    with ProcessPoolExecutor(processes, initializer=_remember, initargs=(deny,)) as pool:
        asked = [each for each in pool.map(_ask, index, chunksize=4) if each]
        (home / "questions.pickle").write_bytes(pickle.dumps(asked))
        _LOG.info("%d packages held out, %d questions", len(asked), sum(len(each.questions) for each in asked))
        kinds = _write(home, pool.map(_pairs, index, chunksize=4))
    _LOG.info("%d pairs by kind %s, %.0f s", sum(kinds.values()), dict(sorted(kinds.items())), time.monotonic() - began)


_denied: list[DenyList] = []
"""Of a working process: a million hashes are sent to it once."""


def _remember(deny: DenyList) -> None:
    _denied[:] = [deny]


def _ask(package: dict[str, str]) -> Asked | None:
    return ask(Path(package["path"]), _denied[0]) if held_out(package["name"]) else None


def _pairs(package: dict[str, str]) -> list[Pair]:
    return [] if held_out(package["name"]) else package_pairs(Path(package["path"]), _denied[0])


def _write(home: Path, packages: Iterable[list[Pair]]) -> Counter[int]:
    vocabulary = Vocabulary()
    question, body, name, path = Rows(), Rows(), Rows(), Rows()
    kinds: list[int] = []
    package_of: list[int] = []
    for number, pairs in enumerate(packages):
        for pair in pairs:
            question.count(vocabulary, dict.fromkeys(pair.question, 1.0))
            body.count(vocabulary, pair.body)
            name.count(vocabulary, dict.fromkeys(pair.name, 1.0))
            path.count(vocabulary, dict.fromkeys(pair.path, 1.0))
            kinds.append(pair.kind)
            package_of.append(number)
    arrays: dict[str, Any] = question.arrays("question") | body.arrays("body") | name.arrays("name") | path.arrays("path")
    arrays |= {"kind": np.array(kinds, np.int8), "package": np.array(package_of, np.int32)}
    np.savez(home / "pairs.npz", **arrays)
    (home / "words.txt").write_text("\n".join(vocabulary.number), "utf-8")
    return Counter(kinds)
