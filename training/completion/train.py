"""Learns which names will be written next, from bodies of functions cut out of public packages.

    python -m training.completion.train --packages INDEX.json [--languages python=24,go=8]

INDEX.json lists downloaded packages as training/embedder leaves them (name, language, path): none is on the deny-list. Each is
indexed in process; of some functions the body is cut out, the cursor stands where it was, and the names of the body that the
file lacks up to there are what should have been expected among all names that the candidates hold. A logistic regression
over the signals of retrieval/expected.py is written to expected.json. Folds leave packages out.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.retrieval import CodeCursor, Query
from nearcode.retrieval import passages
from nearcode.retrieval.beside import read_beside
from nearcode.retrieval.expected import WEIGHTS_FILE, Floats, read_signals
from nearcode.retrieval.lexical import attainable
from nearcode.retrieval.names import name_hashes
from nearcode.retrieval.service import Retrieval, checked, ranking
from nearcode.retrieval.settings import RetrievalSettings

from benchmarks.lab import SERVICES, OneView, ask, index

SEED = 7
PACKAGES = "python=24,go=8,typescript=8,rust=6,java=6"
"""Packages of each language."""
FEWEST_NAMES = 2
"""Bodies of fewer new names count no more than those of so many."""
FUNCTIONS = 12
"""Functions of each package."""
FEWEST_LINES, MOST_LINES = 6, 60
FILES = (15, 400)
"""Source files of a package: fewer hold nothing to retrieve, more take long."""
RIDGE = 1.0
ROUNDS = 12
Example = tuple[str, Floats, Floats]


def cursors(root: Path, spans: Sequence[dict[str, Any]], chance: random.Random) -> list[tuple[CodeCursor, str]]:
    """Cursors at the beginning of bodies, and the bodies."""
    found = []
    for span in chance.sample(list(spans), len(spans)):
        lines = (root / span["path"]).read_text(errors="replace").splitlines(keepends=True)
        start, end = span["start_line"], span["end_line"]
        opened = next((at for at in range(start - 1, min(start + 4, end)) if lines[at].rstrip().endswith((":", "{"))), None)
        if opened is None or end - opened < FEWEST_LINES:
            continue
        found.append((CodeCursor(span["path"], "".join(lines[: opened + 1])), "".join(lines[opened + 1 : end])))
    return found[:FUNCTIONS]


async def examples(app: App, package: dict[str, Any], chance: random.Random) -> list[Example]:
    """(package, signals, whether each name was written) of each cut out body."""
    root = Path(package["path"])
    repository = await index(app, root)
    view = await app.view()
    retrieval = Retrieval(OneView(view), await app.revisions(), RetrievalSettings())
    points = [point.payload async for point in view.completion.index.scan(repository)]
    whole = [
        dict(point)
        for point in points
        if point["kind"] in ("function", "method")
        and FEWEST_LINES <= int(str(point["end_line"])) - int(str(point["start_line"])) <= MOST_LINES
    ]
    told: list[Example] = []
    for cursor, body in cursors(root, sorted(whole, key=lambda each: (each["path"], each["start_line"])), chance):
        call, found = await ask(retrieval, [repository], Query(cursor=cursor))
        lanes, _ = checked(call, found)
        _, everything = ranking(call.intent, found, lanes, attainable(call.intent, found.idf))
        ranked = [one for one in everything if one.hit.chunk.text.strip()][: passages.MOST_SOURCES]
        if ranked:
            expected = read_signals(passages.read_sources(ranked, cursor.path), read_beside(cursor))
            written = np.isin(expected.hashes, name_hashes(body))
            told.append((package["name"], expected.signals, written.astype(np.float64)))
    return told


def size(root: Path) -> int:
    """How many files there are."""
    return sum(1 for file in root.rglob("*") if file.is_file())


def fit(told: Sequence[Example]) -> tuple[Floats, float]:
    """Logistic regression by Newton's method, every signal scaled to variance 1. A body of many names counts no more."""
    shares = np.concatenate([np.full(len(one), 1.0 / max(FEWEST_NAMES, one.sum())) for _, _, one in told])
    shares /= shares.mean()
    signals, written = np.concatenate([one for _, one, _ in told]), np.concatenate([one for _, _, one in told])
    mean, spread = signals.mean(axis=0), signals.std(axis=0) + 1e-9
    scaled = np.column_stack(((signals - mean) / spread, np.ones(len(signals))))
    weights = np.zeros(scaled.shape[1])
    for _ in range(ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-scaled @ weights))
        slope = scaled.T @ (shares * (chance - written)) + RIDGE * weights
        curve = (scaled * (shares * chance * (1.0 - chance))[:, None]).T @ scaled + RIDGE * np.eye(len(weights))
        weights -= np.linalg.solve(curve, slope)
    return weights[:-1] / spread, float(weights[-1] - (weights[:-1] * mean / spread).sum())


def precision(told: Sequence[Example], weights: Floats, bias: float) -> float:
    """Mean share of the written names among the likeliest 100."""
    shares = []
    for _, signals, written in told:
        if written.sum():
            best = np.argsort(-(signals @ weights + bias))[:100]
            shares.append(written[best].sum() / written.sum())
    return float(np.mean(shares))


async def run(arguments: argparse.Namespace) -> list[Example]:
    """Examples of packages of each language."""
    chance = random.Random(SEED)
    listed: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for package in json.loads(arguments.packages.read_text()):
        listed[package["language"]].append(package)
    told: list[Example] = []
    home = tempfile.mkdtemp()
    chosen = {"home": home, "embedding": {"chat": {"enabled": "off"}}, "ingestion": {"watch": False}}
    async with App(settings.load(overrides=chosen), SERVICES) as app:
        await app.warm()
        await app.start_workers()
        for language, count in (each.split("=") for each in arguments.languages.split(",")):
            taken = 0
            for package in chance.sample(listed[language], len(listed[language])):
                if FILES[0] <= size(Path(package["path"])) <= FILES[1] and taken < int(count):
                    found = await examples(app, package, chance)
                    taken += bool(found)
                    told += found
            print(f"{language}: {taken} packages, {len(told)} bodies so far", flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--languages", default=PACKAGES, help="how many packages of each")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    told = asyncio.run(run(arguments))
    names = sorted({name for name, _, _ in told})
    outside = []
    for fold in range(5):
        left = set(names[fold::5])
        model = fit([one for one in told if one[0] not in left])
        outside.append(precision([one for one in told if one[0] in left], *model))
    weights, bias = fit(told)
    inside = precision(told, weights, bias)
    print(f"names among the likeliest 100: in sample {inside:.3f}, out of fold {np.mean(outside):.3f}")
    shipped = {"weights": [round(float(one), 4) for one in weights], "bias": round(bias, 4), "bodies": len(told)}
    arguments.out.write_text(json.dumps(shipped, indent=1) + "\n")


if __name__ == "__main__":
    main()
