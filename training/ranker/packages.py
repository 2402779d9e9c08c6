"""Asks public packages about their own documentation and names, and keeps the lanes for the ranker.

    python -m training.ranker.packages --packages index.json --deny denylist.txt packages.pickle

`index.json` is made by `training.embedder`; the documentation that is asked about is blanked before the packages are indexed.
`--chat FOLDER` (a transformer's weights) fills the chat space too, at some
20 chunks a second: `--share` takes fewer packages.
"""

import argparse
import asyncio
import pickle
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nearcode import settings
from nearcode.app import App
from nearcode.domain.retrieval import Query
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings

from benchmarks.lab import LIMIT, SERVICES, Asked, OneView, ask, fill
from training.calibration.asking import index
from training.calibration.packages import SEED, SHARES, Package, chosen

FEW = 0.3
"""Share of the questions that are asked of several packages at once."""
OTHERS = 5
PROFILE = "bge-small-en-v1-5"


async def collect(packages: Sequence[Package], chat: Path | None, together: bool) -> list[Asked]:
    """Indexes the packages into one index and asks each its questions."""
    space = {"enabled": "on", "folder": str(chat), "profile": PROFILE} if chat else {"enabled": "off"}
    chance = random.Random(SEED)
    found: list[Asked] = []
    with tempfile.TemporaryDirectory() as folder:
        home, code = Path(folder) / "home", Path(folder) / "code"
        configured = settings.load(overrides={"home": str(home), "embedding": {"chat": space}, "ingestion": {"watch": False}})
        async with App(configured, SERVICES) as app:
            await app.warm()
            await app.start_workers()
            ids = {package.name: await index(app, package, code / package.name) for package in packages}
            if chat:
                await fill(app)
            view = await app.view()
            retrieval = Retrieval(
                OneView(view if chat else replace(view, chat=None)), await app.revisions(), RetrievalSettings()
            )
            for package in packages:
                for asked in package.questions:
                    if asked.cursor is None:
                        others = min(OTHERS, len(ids)) if chance.random() < FEW else 0
                        names = [package.name, *chance.sample(sorted(ids), others)]
                        if together:
                            names = sorted(ids)
                        call, lanes = await ask(retrieval, {ids[name] for name in names}, Query(asked.text, limit=LIMIT))
                        found.append(Asked(package.name, ids[package.name], asked.kind, list(asked.paths), call, lanes))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--deny", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the packages")
    parser.add_argument("--chat", type=Path)
    parser.add_argument("--together", action="store_true", help="every question is asked of all packages at once")
    parser.add_argument("lanes", type=Path)
    given = parser.parse_args()
    deny = frozenset(given.deny.read_text().split())
    packages = chosen(given.packages, deny, {registry: round(count * given.share) for registry, count in SHARES.items()})
    asked = asyncio.run(collect(packages, given.chat, given.together))
    given.lanes.write_bytes(pickle.dumps(asked))
    print(f"{len(packages)} packages, {len(asked)} questions")


if __name__ == "__main__":
    main()
