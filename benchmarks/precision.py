"""How far an answer can be trusted: "no useful context" where there is none, calibration, precision at token budgets, growth.

    python -m benchmarks.precision --corpus CORPUS --repos repos.json --annotations FOLDER

The folders are those of benchmarks/lab.py. All repositories go into one index. Each question is asked

- of its own repository: is the answer kept, how well are the probabilities calibrated, what do 500 to 4,000 tokens hold;
- of another repository drawn with a seed, and of all repositories but its own: its answer is not indexed;
- of all repositories, its own not named: what a growing code base costs.

The calibration was learned from other code (retrieval/calibration.json says which), so every figure here is out of sample.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import Context, Query, Snippet
from nearcode.domain.spaces import View
from nearcode.retrieval.budget import estimate_tokens
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings

from benchmarks.lab import SECONDS, SERVICES, OneView, index
from benchmarks.scoring import elsewhere, matches, ndcg, targets

SEED = 20261121
ABSENT = 200
"""Questions whose answer is not indexed, of either kind."""
BUDGETS = (500, 1_000, 2_000, 4_000)
BINS = 10
SHOWN = 10


@dataclass(slots=True)
class Asked:
    """A question and its answers, by what was in scope: own, other, rest (all but its own), all."""

    repository: str
    text: str
    targets: Sequence[str | dict[str, Any]]
    contexts: dict[str, Context] = field(default_factory=dict)

    def snippets(self, scope: str) -> list[Snippet]:
        """What was found."""
        return list(self.contexts[scope].snippets)

    def hit(self, scope: str, ids: Mapping[str, str]) -> bool:
        """Whether one of the snippets helps."""
        return any(self.helps(one, ids) for one in self.contexts[scope].snippets)

    def helps(self, snippet: Snippet, ids: Mapping[str, str]) -> bool:
        """Whether a snippet is of a file that answers."""
        return snippet.repository == ids[self.repository] and any(matches(snippet, target) for target in self.targets)


async def ask(retrieval: Retrieval, question: Asked, scope: str, repositories: Sequence[str]) -> None:
    asked = Query(question=question.text, limit=SHOWN, everything=True)
    principal = Principal("benchmark", 0, frozenset(repositories))
    question.contexts[scope] = await retrieval.retrieve(principal.scope(), asked, SECONDS)


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    home = arguments.home or Path(tempfile.mkdtemp())
    chosen = {"home": str(home), "embedding": {"chat": {"enabled": "off"}}, "ingestion": {"watch": False}}
    repos = json.loads(arguments.repos.read_text())
    async with App(settings.load(overrides=chosen), SERVICES) as app:
        await app.warm()
        await app.start_workers()
        ids: dict[str, str] = {}
        questions: list[Asked] = []
        for repo in repos:
            name = repo["name"]
            ids[name] = await index(app, arguments.corpus / name / (repo.get("root") or ""))
            for one in json.loads((arguments.annotations / f"{name}.json").read_text()):
                questions.append(Asked(name, one["query"], targets(one)))
        print(f"{len(ids)} repositories, {len(questions)} questions", flush=True)
        view = await app.view()
        retrieval = Retrieval(OneView(View(view.completion)), await app.revisions(), RetrievalSettings())
        chance = random.Random(SEED)
        absent = set(chance.sample(range(len(questions)), min(ABSENT, len(questions))))
        for at, question in enumerate(questions):
            own, others = ids[question.repository], sorted(each for name, each in ids.items() if name != question.repository)
            await ask(retrieval, question, "own", [own])
            await ask(retrieval, question, "all", [own, *others])
            if at in absent:
                await ask(retrieval, question, "other", [chance.choice(others)])
                await ask(retrieval, question, "rest", others)
    return figures(questions, ids)


def figures(questions: Sequence[Asked], ids: Mapping[str, str]) -> dict[str, Any]:
    """Every figure of the answers."""
    told: dict[str, Any] = {}
    for scope in ("own", "all"):
        hits = [question.hit(scope, ids) for question in questions]
        kept = [hit and question.contexts[scope].useful for hit, question in zip(hits, questions, strict=True)]
        told[f"{scope}: hit@10"], told[f"{scope}: hit@10 with the cut-off"] = float(np.mean(hits)), float(np.mean(kept))
    for scope in ("other", "rest"):
        answers = [question.contexts[scope] for question in questions if scope in question.contexts]
        told[f"{scope}: no useful context"] = float(np.mean([not each.useful for each in answers]))
    for scope, empty in (("own", "other"), ("all", "rest")):
        said = [question.contexts[scope].probability for question in questions]
        was = [float(question.hit(scope, ids)) for question in questions]
        foreign = [question.contexts[empty].probability for question in questions if empty in question.contexts]
        error, rows = reliability(np.array(said + foreign), np.array(was + [0.0] * len(foreign)))
        told[f"{scope}: calibration error"], told[f"{scope}: bins"] = error, rows
        pairs = [
            (one.probability, question.helps(one, ids)) for question in questions for one in question.contexts[scope].snippets
        ]
        error, _ = reliability(np.array([pair[0] for pair in pairs]), np.array([float(pair[1]) for pair in pairs]))
        told[f"{scope}: calibration error of snippets"] = error
    for tokens in BUDGETS:
        told |= at_budget(questions, ids, tokens)
    told |= growth(questions, ids)
    return told


def reliability(said: np.ndarray, was: np.ndarray) -> tuple[float, list[tuple[float, float, float, int]]]:
    """Expected calibration error over ten equal bins, and each bin: lower end, said, was, how many."""
    rows, error = [], 0.0
    places = np.minimum((said * BINS).astype(int), BINS - 1)
    for place in range(BINS):
        inside = places == place
        if inside.any():
            rows.append((place / BINS, float(said[inside].mean()), float(was[inside].mean()), int(inside.sum())))
            error += abs(rows[-1][1] - rows[-1][2]) * inside.mean()
    return float(error), rows


def at_budget(questions: Sequence[Asked], ids: Mapping[str, str], tokens: int) -> dict[str, float]:
    """Of the tokens that whole snippets take, the share of those that help; and the share of the files that are shown."""
    precise, recalled = [], []
    for question in questions:
        left, good, spent, shown = tokens, 0, 0, []
        for one in question.contexts["own"].snippets:
            cost = estimate_tokens(one)
            if cost <= left:
                left, spent = left - cost, spent + cost
                good += cost * question.helps(one, ids)
                shown.append(one)
        precise.append(good / spent if spent else 0.0)
        recalled.append(np.mean([any(matches(one, target) for one in shown) for target in question.targets]))
    return {f"{tokens} tokens: precision": float(np.mean(precise)), f"{tokens} tokens: recall": float(np.mean(recalled))}


def growth(questions: Sequence[Asked], ids: Mapping[str, str]) -> dict[str, float]:
    """nDCG@10, mean per repository and then over repositories: each alone, and all in one index, none named."""
    told = {}
    for scope in ("own", "all"):
        by_repository: dict[str, list[float]] = {}
        for question in questions:
            foreign = ids[question.repository]
            found = question.snippets(scope)
            ranked = [one if one.repository == foreign else elsewhere(one) for one in found]
            by_repository.setdefault(question.repository, []).append(ndcg(ranked, question.targets))
        told[f"{scope}: nDCG@10"] = float(np.mean([np.mean(scores) for scores in by_repository.values()]))
    told["growth: nDCG@10 lost"] = told["own: nDCG@10"] - told["all: nDCG@10"]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "repos", "annotations"):
        parser.add_argument(f"--{name}", type=lambda path: Path(path).absolute(), required=True)
    parser.add_argument("--home", type=Path, help="keeps the index between runs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    told = asyncio.run(run(arguments))
    for name, value in told.items():
        if isinstance(value, float):
            print(f"{name:<40}{value:8.3f}")
        else:
            for low, said, was, count in value:
                print(f"{name:<40}{low:.1f}+ said {said:.2f}, was {was:.2f}, {count} answers")
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
