"""Learns the ranker's weights for issues from what public repositories' commits mended, and writes them.

    python -m training.ranker.issues --deny denylist.txt --lanes issues.pickle --out issues.json CLONE...

CLONEs are bare clones with their history, `owner+name/repo` or `owner/name.git`; one on the deny-list is refused. Of each the
newest commits are asked whose message has a title and a body that tells of a fault, and that changed one or two files of code.
The repository is indexed as it was before the oldest of them, so no fix is in the index. Lanes that are there already are not
asked again. Weights start at those for questions and are moved by the commits; scores are of repositories left out.
"""

import argparse
import asyncio
import json
import pickle
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.languages import language_of
from nearcode.domain.retrieval import Query
from nearcode.evaluation.commits import LOG_FORMAT, Commit, parse_log, request
from nearcode.evaluation.source import is_asked_for
from nearcode.retrieval.features import FEATURES
from nearcode.retrieval.issue import as_issue
from nearcode.retrieval.ranker import CHAT_FEATURES, load_weights
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings
from numpy.typing import NDArray

from benchmarks.lab import SERVICES, Asked, Bench, OneView, ask, index
from training.calibration.packages import denied
from training.ranker.__main__ import DIGITS, scaled
from training.ranker.fitting import Batch, fit
from training.ranker.folds import PULL, by_repository, mean
from training.ranker.matrices import Matrix, matrices

NEWEST, QUESTIONS, CANDIDATES = 3_000, 40, 100
"""Commits looked at, questions of a repository, snippets asked for."""
MOST_PATHS, MOST_FILES = 10, 2
"""Paths that a commit touches, and files of code among them."""
SHORTEST_BODY = 250
"""Characters of a message below its title."""
LOOSER = 0.2
"""Share of the pull towards the weights for questions: of 1 and 0.2 on repositories left out, accuracy@5 of .824 and .849."""

_FAULT = re.compile(r"\b(?:fix(?:e[sd])?|bug|crash\w*|issue|error|wrong|incorrect|regression|fail\w*|broken|closes?d?)\b", re.I)
_TRAILER = re.compile(
    r"^(?:[A-Z][\w-]+-by:|Change-Id:|(?:fix(?:es)?|closes?|references|refs?|for|part-of|pull-request|reviewed-on)\b:? .*(?:#|://)\S+$)",
    re.I,
)


def told(message: str) -> str:
    """A commit's message without what tools add."""
    return "\n".join(line for line in message.splitlines() if not _TRAILER.match(line.strip())).strip()


def mended(commit: Commit) -> tuple[str, ...]:
    """The files of code that a commit mended; none if it is not such a commit."""
    body = commit.message.partition("\n")[2].strip()
    code = tuple(path for path in commit.paths if language_of(path) and is_asked_for(path))
    asked = len(body) >= SHORTEST_BODY and _FAULT.search(commit.message) and request(commit.message)
    fits = len(commit.parents) == 1 and len(commit.paths) <= MOST_PATHS and 1 <= len(code) <= MOST_FILES
    return code if fits and asked and as_issue(told(commit.message)) else ()


def git(clone: Path, *arguments: str) -> bytes:
    """What a git command says."""
    return subprocess.run(["git", *arguments], cwd=clone, check=True, capture_output=True).stdout


def questions(clone: Path) -> tuple[str, list[tuple[str, list[str]]]]:
    """The commit that is indexed, and messages with the files that were mended and are in it."""
    log = ("log", "--first-parent", "--no-merges", "--no-renames", "--name-only", "-z", f"--max-count={NEWEST}")
    commits = parse_log(git(clone, *log, f"--format={LOG_FORMAT}", "HEAD"))
    found = [(commit, files) for commit in commits if (files := mended(commit))][: 2 * QUESTIONS]
    base = found[-1][0].parents[0]
    there = set(git(clone, "ls-tree", "-r", "--name-only", "-z", base).decode("utf-8", "replace").split("\0"))
    kept = [(told(commit.message), list(files)) for commit, files in found if there.issuperset(files)]
    return base, kept[:QUESTIONS]


def name_of(clone: Path) -> str:
    """`owner/name` of a clone."""
    place = clone.parent if clone.name == "repo" else clone
    return place.name.replace("+", "/") if "+" in place.name else f"{place.parent.name}/{place.name.removesuffix('.git')}"


def prepare(clone: Path, code: Path) -> list[tuple[str, list[str]]]:
    """Writes the repository as it was into a folder; its questions."""
    base, made = questions(clone)
    code.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(code)], input=git(clone, "archive", base), check=True)
    return made


async def collect(clones: Sequence[Path]) -> list[Asked]:
    """Indexes every repository and asks its questions."""
    asked: list[Asked] = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = {"home": f"{folder}/home", "embedding": {"chat": {"enabled": "off"}}, "ingestion": {"watch": False}}
        async with App(settings.load(overrides=chosen), SERVICES) as app:
            await app.warm()
            await app.start_workers()
            retrieval = Retrieval(OneView(replace(await app.view(), chat=None)), await app.revisions(), RetrievalSettings())
            for clone in clones:
                code = Path(folder, "code", name_of(clone).replace("/", "+"))
                made = await asyncio.to_thread(prepare, clone, code)
                repository = await index(app, code)
                for text, files in made:
                    query = Query(text, limit=CANDIDATES, everything=True)
                    asked.append(
                        Asked(name_of(clone), repository, "issue", list(files), *await ask(retrieval, [repository], query))
                    )
                print(f"{name_of(clone)}: {len(made)} questions", flush=True)
    return asked


def learn(questions: Sequence[Matrix], names: tuple[str, ...], without: str = "") -> NDArray[np.float64]:
    """Weights, shape (features,), moved from those for questions by all repositories but one."""
    start = np.array([load_weights().get(name, 0.0) for name in names])
    return fit([(Batch.of([one for one in questions if one.repository != without], names), 1.0)], start, LOOSER * PULL)


def scores(questions: Sequence[Matrix], names: tuple[str, ...]) -> dict[str, float]:
    """nDCG@10: of the weights for questions, and of those for issues, each repository left out in turn."""
    start = np.array([load_weights().get(name, 0.0) for name in names])
    by_name: dict[str, list[Matrix]] = defaultdict(list)
    for one in questions:
        by_name[one.repository].append(one)
    outside = {name: by_repository(own, learn(questions, names, name), names)[name] for name, own in by_name.items()}
    inside = mean(by_repository(questions, learn(questions, names), names))
    before = mean(by_repository(questions, start, names))
    found = {"weights_for_questions": before, "in_sample": inside, "out_of_fold": mean(outside), "gap": inside - mean(outside)}
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", nargs="*", type=Path, metavar="CLONE")
    parser.add_argument("--deny", type=Path, required=True)
    parser.add_argument("--lanes", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    deny = frozenset(given.deny.read_text().split())
    if refused := [name_of(clone) for clone in given.clones if denied(name_of(clone), deny)]:
        raise SystemExit(f"nothing may be learned from {', '.join(refused)}: leave them out")
    if not given.lanes.exists():
        given.lanes.write_bytes(pickle.dumps(asyncio.run(collect(given.clones))))
    made = matrices(Bench.load(given.lanes).questions)
    names = tuple(name for name in FEATURES if name not in CHAT_FEATURES.values())
    found = scores(made, names)
    print(f"{len(made)} questions", found)
    weights = zip(names, scaled(learn(made, names), {"issues": made}, names).tolist(), strict=True)
    told = {name: round(weight, DIGITS) for name, weight in sorted(weights, key=lambda item: -abs(item[1]))}
    if given.out:
        learned_from = dict(sorted(Counter(one.repository for one in made).items()))
        kept = {name: weight for name, weight in told.items() if weight}
        written = {"weights": kept, "scores": {"issues": found}, "learned from": learned_from}
        given.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
