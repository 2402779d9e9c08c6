"""Search with the transformer space against the static default, on the same questions: the difference with its 95 % interval.

    python -m benchmarks.spaces --corpus CORPUS --repos repos.json --annotations FOLDER --weights FOLDER

`repos.json` lists repositories (`name`, `root`) whose checkouts lie below CORPUS; FOLDER/NAME.json holds their questions
(`query`, `relevant` and `secondary` files, maybe with lines). Scores are nDCG@10 with binary relevance, mean per repository,
then over repositories; the interval is a bootstrap over repositories and the questions in each. Nothing is refused: it is
the ranking that is compared. `--whole` indexes whole checkouts instead of roots. `--home` keeps vectors between runs.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import Query, Retriever
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings

from benchmarks.lab import LIMIT, SECONDS, SERVICES, OneView, fill, index
from benchmarks.scoring import interval, ndcg, targets


async def scores(retriever: Retriever, repository: str, questions: Sequence[dict[str, Any]]) -> list[float]:
    """nDCG@10 of each question."""
    scope = Principal("benchmark", 0, frozenset([repository])).scope()
    found = []
    for question in questions:
        context = await retriever.retrieve(scope, Query(question=question["query"], limit=LIMIT, everything=True), SECONDS)
        found.append(ndcg(context.snippets, targets(question)))
    return found


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    home = arguments.home or Path(tempfile.mkdtemp())
    chat = {"enabled": "on", "folder": str(arguments.weights), "profile": arguments.profile}
    configured = settings.load(overrides={"home": str(home), "embedding": {"chat": chat}, "ingestion": {"watch": False}})
    async with App(configured, SERVICES) as app:  # without a gateway nobody waits: the model runs at normal priority
        await app.warm()
        await app.start_workers()
        for repo in json.loads(arguments.repos.read_text()):
            if arguments.only and repo["name"] not in arguments.only.split(","):
                continue
            began = time.perf_counter()
            questions = json.loads((arguments.annotations / f"{repo['name']}.json").read_text())
            root = "" if arguments.whole else repo.get("root") or ""
            repository = await index(app, arguments.corpus / repo["name"] / root)
            await fill(app)
            view, revisions = await app.view(), await app.revisions()
            both = [Retrieval(OneView(each), revisions, RetrievalSettings()) for each in (replace(view, chat=None), view)]
            static, filled = [await scores(each, repository, questions) for each in both]
            rows.append({"repo": repo["name"], "static": static, "with_chat": filled})
            took = time.perf_counter() - began
            print(
                f"{repo['name']:<22}{len(questions):4} questions  static {np.mean(static):.3f}  with chat {np.mean(filled):.3f}"
                f"  {took:6.0f} s",
                flush=True,
            )
            await (await app.local_ingestion()).disconnect(repository)
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "repos", "annotations", "weights"):
        parser.add_argument(f"--{name}", type=lambda path: Path(path).absolute(), required=True)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--profile", default="bge-small-en-v1-5")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    told = asyncio.run(run(arguments))
    rows = told["rows"]
    differences = [np.array(row["with_chat"]) - np.array(row["static"]) for row in rows]
    static, chat = (float(np.mean([np.mean(row[name]) for row in rows])) for name in ("static", "with_chat"))
    low, high = interval(differences)
    print(f"{len(rows)} repositories, {sum(map(len, differences))} questions")
    print(f"nDCG@10: static {static:.4f}, with the chat space {chat:.4f}")
    print(f"difference {chat - static:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}")
    if arguments.json:
        told |= {"static": static, "with_chat": chat, "difference": chat - static, "interval": [low, high]}
        arguments.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
