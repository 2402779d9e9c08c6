"""What each lane and feature is worth: nDCG@10 without it, on the lanes that `benchmarks.lab collect` kept.

    python -m benchmarks.ablation roots=roots.pickle whole=whole.pickle [--json FILE]

Weights stay as they are shipped: what is left out says nothing and nothing takes its place. So a row tells what a question
loses when a lane is late, or what a feature does beside all others; features that say much the same show little. Differences
are paired by question, with a 95 % bootstrap interval over repositories and the questions in each.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nearcode.retrieval.fusion import Lanes
from nearcode.retrieval.ranker import weights_for
from numpy.typing import NDArray

from benchmarks.lab import Asked, Bench
from benchmarks.scoring import interval
from training.ranker.folds import ndcg
from training.ranker.matrices import Matrix, matrix

Scores = dict[str, NDArray[np.float64]]

LANES: Mapping[str, Callable[[Lanes], Lanes]] = {
    "lane: static vectors": lambda lanes: replace(lanes, dense=None),
    "lane: words": lambda lanes: replace(lanes, lexical=None),
    "lane: definitions": lambda lanes: replace(lanes, definition=None),
    "lane: graph": lambda lanes: replace(lanes, graph=None),
    "vectors alone": lambda lanes: Lanes(dense=lanes.dense),
    "words alone": lambda lanes: Lanes(lexical=lanes.lexical),
}
FEATURES: Mapping[str, Sequence[str]] = {
    "lanes' scores and ranks": (
        "dense", "dense above the last", "dense rank", "lexical", "lexical for symbols", "lexical above the last",
        "both lanes", "definition lane",
    ),
    "words in text, header and file": ("words in text", "words in header", "words in file"),
    "what a file's best chunks hold": ("best dense of file", "best lexical of file", "best defines words of file"),
    "file found again": ("file found again",),
    "names that are defined": (
        "defines asked name", "defines asked name for symbols", "defines words", "defines words for symbols",
        "defines words in a row", "best defines words of file", "scope name",
    ),
    "names of files and folders": ("file name", "whole file name", "folder name"),
    "tests, examples, generated, vendored, ...": (
        "test file", "example file", "document file", "generated file", "vendored file", "barrel file", "legacy file",
    ),
    "centrality": ("central",),
    "kind, length and depth": ("class", "function", "long", "depth"),
}  # fmt: skip


def scores(questions: Sequence[Asked], change: Callable[[Lanes], Lanes], without: Sequence[str] = ()) -> Scores:
    """nDCG@10 by repository with other lanes, or without features."""
    found: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        lanes = change(question.found.lanes)
        made = matrix(replace(question, found=replace(question.found, lanes=lanes)))
        found[question.repository].append(score(made, weights_for(lanes), without) if made else 0.0)
    return {name: np.array(values) for name, values in found.items()}


def score(question: Matrix, weights: Mapping[str, float], without: Sequence[str]) -> float:
    """nDCG@10 of a question with the shipped weights, but for some."""
    names = [name for name in weights if name in question.names and name not in without]
    return ndcg(question, question.columns(names) @ np.array([weights[name] for name in names]))


def rows(questions: Sequence[Asked]) -> dict[str, dict[str, Any]]:
    """By what is left out: nDCG@10, and the difference to everything with its interval."""
    whole = scores(questions, lambda lanes: lanes)
    told = {"everything": {"ndcg": mean(whole)}}
    for name, change in LANES.items():
        told[name] = row(scores(questions, change), whole)
    for name, without in FEATURES.items():
        told[f"features: {name}"] = row(scores(questions, lambda lanes: lanes, without), whole)
    if any(question.found.lanes.chat for question in questions):
        told["space: chat"] = row(scores(questions, lambda lanes: replace(lanes, chat=None)), whole)
    return told


def row(changed: Scores, whole: Scores) -> dict[str, Any]:
    """One line of the table."""
    differences = [changed[name] - whole[name] for name in whole]
    return {"ndcg": mean(changed), "difference": mean(changed) - mean(whole), "interval": interval(differences)}


def mean(found: Scores) -> float:
    """Per repository, then over repositories."""
    return float(np.mean([each.mean() for each in found.values()]))


def markdown(told: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The table, a column a set."""
    names = list(dict.fromkeys(name for each in told.values() for name in each))
    lines = ["| without | " + " | ".join(told) + " |", "| --- |" + " --- |" * len(told)]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(_cell(each.get(name)) for each in told.values()) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if "interval" not in row:
        return f"{row['ndcg']:.3f}"
    return f"{row['ndcg']:.3f} ({row['difference']:+.3f}, {row['interval'][0]:+.3f} to {row['interval'][1]:+.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told = {}
    for each in given.sets:
        name, _, file = each.partition("=")
        told[name] = rows(Bench.load(Path(file)).questions)
    print(markdown(told))
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
