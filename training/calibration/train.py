"""Learns retrieval/calibration.json, in one command of a few minutes.

    python -m training.calibration.train --packages INDEX --deny FILE [--answers FILE] [--only cursor]

INDEX is the list of unpacked packages that training/embedder/packages.py writes; FILE lists what may not be learned from.
Each generated question is asked where its answer is indexed (alone, among a few and among all packages) and where it is not.
All figures are out of fold: folds hold out whole packages. `--answers` keeps what was asked, and fits anew from it if it is
there: ranking or vectors that changed need it gone. `--only` learns one kind of query and keeps the other's models.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from nearcode.retrieval.calibration import CALIBRATION_FILE, CURSOR, ONE, QUESTION, SEVERAL, snippet_evidence

from training.calibration.asking import answers
from training.calibration.fitting import Fit, Numbers, calibration_error, fit, folds, reliability, sigmoid
from training.calibration.packages import SHARES, chosen

FOLDS = 10
ABSENT = 0.25
"""Weight of the questions whose answer is not indexed: a quarter of all. Nobody knows the true share; people ask most of what
they believe to be there."""
MOST_LOST = 0.019
"""Share of the right answers that the cut-off for questions may cost. 2 points are promised: questions that people wrote lose a
little more than generated ones."""
MOST_CONTEXT_LOST = 0.005
"""Share of the useful snippets that the cut-off for completions may cost."""
RAISES = (
    "agreement", "best score", "covered", "covered by file", "covered here", "defined", "margin", "nearest", "nearness",
    "named", "named here", "rarest word", "same first", "telling words", "telling words by file", "vectors stand out",
    "words matched", "words matched here", "words stand out",
)  # fmt: skip
LOWERS = ("unknown words", "names undefined", "files", "behind", "root of behind", "rank")
SIGNS = {"answer": 1} | dict.fromkeys(RAISES, 1) | dict.fromkeys(LOWERS, -1)
"""What evidence may only speak for, or only against, an answer. Length, symbols and repeated files may go either way."""
OUTLIERS = 0.005
"""Share of the values on either side that set no bound."""
DIGITS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--deny", type=Path, required=True)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the packages, for a quick look")
    parser.add_argument("--only", choices=(QUESTION, CURSOR))
    parser.add_argument("--out", type=Path, default=CALIBRATION_FILE)
    args = parser.parse_args()
    if args.answers and args.answers.is_file():
        asked = json.loads(args.answers.read_text())
    else:
        shares = {registry: max(2, round(count * args.scale)) for registry, count in SHARES.items()}
        packages = chosen(args.packages, frozenset(args.deny.read_text().split()), shares)
        for package in packages:
            package.questions = [one for one in package.questions if args.only in (None, CURSOR if one.cursor else QUESTION)]
        print(f"{len(packages)} packages, {sum(len(each.questions) for each in packages)} questions", flush=True)
        asked = asyncio.run(answers(packages))
        if args.answers:
            args.answers.write_text(json.dumps(asked))
    before = json.loads(args.out.read_text()) if args.only else {}
    models: dict[str, Any] = before.get("models", {})
    for kind, plan, scope in product((args.only,) if args.only else (QUESTION, CURSOR), ("hybrid", "lexical"), (ONE, SEVERAL)):
        mine = [one for one in asked if kind_of(one) == (kind, plan, scope)]
        if mine:
            models[f"{kind} {plan} {scope}"] = learn(mine, f"{kind} {plan} {scope}")
    made = before.get("made") or {
        "by": "training/calibration/train.py",
        "from": f"answers to generated questions on {len({one['package'] for one in asked})} public packages outside the "
        "deny-list; no benchmark's question, label or repository",
    }
    args.out.write_text(json.dumps({"made": made, "models": models}, indent=1) + "\n")
    print(f"wrote {args.out}")


def kind_of(answer: dict[str, Any]) -> tuple[str, str, str]:
    """Which model an answer teaches."""
    return CURSOR if answer["kind"] == CURSOR else QUESTION, answer["plan"], ONE if answer["scope"] == ONE else SEVERAL


def learn(asked: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """A model of a kind of query, with its figures out of fold."""
    asked = [one for one in asked if one["evidence"]]
    names = sorted(asked[0]["evidence"])
    features = np.array([[one["evidence"].get(name, 0.0) for name in names] for one in asked])
    useful = np.array([float(any(one["useful"])) for one in asked])
    indexed = np.array([one["indexed"] for one in asked])
    weights = np.where(indexed, (1 - ABSENT) / max(1, indexed.sum()), ABSENT / max(1, (~indexed).sum())) * len(asked)
    groups = [one["package"] for one in asked]
    logits = np.zeros(len(asked))
    for held in folds(groups, FOLDS):
        logits[held] = fit(names, features[~held], useful[~held], weights[~held], SIGNS).logits(features[held])
    whole = fit(names, features, useful, weights, SIGNS)
    chance = sigmoid(logits)
    cutoff = answer_cutoff(chance, useful, kind)
    snippet, snippet_cutoff, snippet_error = learn_snippets(asked, logits, weights, groups, kind)
    figures = {
        "calibration error": calibration_error(chance, useful, weights),
        "calibration error of snippets": snippet_error,
        "hit@10": float(useful[indexed].mean()),
        "hits lost to the cut-off": float((useful * (chance < cutoff))[indexed].mean()),
        "absent told as absent": float((chance < cutoff)[~indexed].mean()) if (~indexed).any() else 0.0,
    }
    report(kind, asked, chance, useful, weights, cutoff, figures)
    return {
        "answers": len(asked),
        "out of fold": {name: round(value, DIGITS) for name, value in figures.items()},
        "answer": curve(whole, features),
        "answer_cutoff": round(cutoff, DIGITS),
        "snippet": snippet,
        "snippet_cutoff": round(snippet_cutoff, DIGITS),
    }


def answer_cutoff(chance: Numbers, useful: Numbers, kind: str) -> float:
    """The highest probability below which at most MOST_LOST of the answers that help lie. Completions are cut by snippet."""
    return float(np.quantile(chance[useful > 0], MOST_LOST)) if kind.startswith(QUESTION) else 0.0


def learn_snippets(
    asked: Sequence[dict[str, Any]], logits: Numbers, weights: Numbers, groups: Sequence[str], kind: str
) -> tuple[dict[str, Any], float, float]:
    """The curve of snippets over the answers' log odds out of fold; its cut-off and calibration error."""
    rows, useful, own_weights, own_groups = [], [], [], []
    for one, logit, weight, group in zip(asked, logits, weights, groups, strict=True):
        for rank, (score, helps) in enumerate(zip(one["scores"], one["useful"], strict=True)):
            rows.append(snippet_evidence(float(logit), one["scores"][0], score, rank))
            useful.append(float(helps))
            own_weights.append(weight)
            own_groups.append(group)
    names = list(rows[0])
    features, helped, heavy = np.array([list(row.values()) for row in rows]), np.array(useful), np.array(own_weights)
    chance = np.zeros(len(rows))
    for held in folds(own_groups, FOLDS):
        chance[held] = sigmoid(fit(names, features[~held], helped[~held], heavy[~held], SIGNS).logits(features[held]))
    cutoff = float(np.quantile(chance[helped > 0], MOST_CONTEXT_LOST)) if kind.startswith(CURSOR) else 0.0
    whole = fit(names, features, helped, heavy, SIGNS)
    return curve(whole, features), cutoff, calibration_error(chance, helped, heavy)


def curve(fitted: Fit, features: Numbers) -> dict[str, Any]:
    """A fit as the file holds it, with the range of values that nearly all of what it was learned from lies in."""
    weights = {name: round(float(weight), DIGITS) for name, weight in zip(fitted.names, fitted.weights, strict=True)}
    kept = {name: weight for name, weight in weights.items() if weight}
    low, high = np.quantile(features, (OUTLIERS, 1 - OUTLIERS), axis=0).round(DIGITS).tolist()
    bounds = {name: each for name, *each in zip(fitted.names, low, high, strict=True) if name in kept}
    return {"bias": round(fitted.bias, DIGITS), "weights": kept, "bounds": bounds}


def report(
    kind: str, asked: Sequence[dict[str, Any]], chance: Numbers, useful: Numbers, weights: Numbers, cutoff: float, figures: Any
) -> None:
    """What a person looks at: figures, bins, and rows by kind of question and scope."""
    print(f"\n{kind}: {len(asked)} answers, cut-off {cutoff:.3f}; out of fold:")
    for name, value in figures.items():
        print(f"  {name:<32}{value:.3f}")
    for low, said, was, share in reliability(chance, useful, weights):
        print(f"  {low:.1f} to {low + 0.1:.1f}: said {said:.2f}, was {was:.2f}, {share:.0%} of answers")
    cells = sorted({(one["kind"], one["scope"], one["indexed"]) for one in asked})
    for each in cells:
        inside = np.array([(one["kind"], one["scope"], one["indexed"]) == each for one in asked])
        told = f"hit {useful[inside].mean():.3f}, cut {(chance < cutoff)[inside].mean():.3f}"
        lost = f"hits lost {(useful * (chance < cutoff))[inside].mean():.3f}"
        print(f"  {each[0]:<9} {each[1]:<4} {'indexed' if each[2] else 'absent ':<8} {inside.sum():5} answers: {told}, {lost}")


if __name__ == "__main__":
    main()
