"""Learns the ranker's weights from asked questions and writes them, with scores in and out of the sample.

    python -m training.ranker roots=roots.pickle:.4 whole=whole.pickle:.4 together=together.pickle:.2 \
        --first packages.pickle packages-together.pickle --out ranker.json

Weights are learned from `--first` (lanes that `python -m training.ranker.packages` kept), then moved a little by the sets, each
NAME=FILE:SHARE: lanes that `python -m benchmarks.lab collect` kept, and how much the set counts.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from nearcode.retrieval.features import FEATURES
from nearcode.retrieval.ranker import CHAT_FEATURES
from numpy.typing import NDArray

from benchmarks.lab import Bench
from training.ranker.folds import Recipe, Sets, by_repository, mean, out_of_fold
from training.ranker.matrices import matrices

DIGITS = 3
"""Of a weight: more would be noise."""
GIVEN = {"named path": 1.5}
"""Not learned, because no question of the sets names a path: whoever names a file means it."""
TOP = 1.5
"""What the best candidate of a question gets on average, in units of fusion: scores then lie about between 0 and 1."""


def scaled(weights: NDArray[np.float64], sets: Sets, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Weights of which the best candidate gets TOP on average; the order they give is the same."""
    best = [(each.columns(names) @ weights).max() for questions in sets.values() for each in questions]
    return weights * (TOP / float(np.mean(best)))


def table(recipe: Recipe, weights: NDArray[np.float64], folds: int) -> dict[str, Any]:
    """Prints and returns nDCG@10 of each set in and out of the sample."""
    outside = out_of_fold(recipe, folds)
    told = {}
    for name, questions in recipe.sets.items():
        inside = mean(by_repository(questions, weights, recipe.names))
        out = mean(outside[name])
        told[name] = {"in_sample": round(inside, 4), "out_of_fold": round(out, 4), "gap": round(inside - out, 4)}
        print(f"{name:12} {len(questions):5} questions  in sample {inside:.4f}  out of fold {out:.4f}  gap {inside - out:+.4f}")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=FILE:SHARE")
    parser.add_argument("--first", type=Path, required=True, nargs="+", help="what public packages were asked")
    parser.add_argument("--folds", type=int, default=0, help="0: each repository is left out by itself")
    parser.add_argument("--drop", default="", help="features left out, separated by commas")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    sets, shares = {}, {}
    for each in given.sets:
        name, _, rest = each.partition("=")
        file, _, share = rest.rpartition(":")
        sets[name], shares[name] = matrices(Bench.load(Path(file)).questions), float(share)
    dropped = set(given.drop.split(","))
    names = tuple(name for name in FEATURES if name not in {*dropped, *CHAT_FEATURES.values()})
    first = [each for file in given.first for each in matrices(Bench.load(file).questions)]
    recipe = Recipe(sets, shares, first, names)
    weights = scaled(recipe.learn(), sets, names)
    scores = table(recipe, weights, given.folds)
    told = {name: round(float(weight), DIGITS) for name, weight in zip(names, weights, strict=True)}
    told |= GIVEN
    told = {name: weight for name, weight in sorted(told.items(), key=lambda item: -abs(item[1])) if weight}
    print(json.dumps(told))
    if given.out:
        given.out.write_text(json.dumps({"weights": told, "scores": scores}, indent=1) + "\n")


if __name__ == "__main__":
    main()
