"""Makes nearcode's static embedder: packages, pairs, table, scores.

    PYTHONPATH=. python -m training.embedder --deny FILE [--copies FOLDER ...] [--start FOLDER]

`--start` holds a transformer (`model.onnx`, `tokenizer.json`) whose vectors of single words the table starts from, instead of
the package wordllama's table (the better start, by the held-out packages). What is
there already is not made again; `--again` makes pairs and questions anew. The table goes into `embedder/nearcode_embedder`.
"""

import argparse
import logging
import time
from pathlib import Path

import numpy as np

from training.embedder.data import make_data
from training.embedder.denylist import DenyList, read_denylist
from training.embedder.learning import Recipe, learn
from training.embedder.loading import Material, load_material
from training.embedder.packages import HOME, LANGUAGES, get_packages
from training.embedder.publishing import FOLDER, quantized, write_table
from training.embedder.registries import FETCHERS
from training.embedder.scoring import mean_score
from training.embedder.starts import from_transformer, from_wordllama, weighted, weights_of
from training.embedder.table import Table

_LOG = logging.getLogger("nearcode.training")

IDF_POWER = 0.125
"""Of the public prior's idf, folded into the learned rows; chosen with each of 31 repositories left out.
A repository's own idf would make a point depend on its neighbors."""


def main() -> None:
    """From package names to a table, in one go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deny", type=Path, required=True, help="hashes of names that nothing may be learned from")
    parser.add_argument("--copies", type=Path, nargs="*", default=[], help="sources that packages must not hold copies of")
    parser.add_argument("--start", type=Path, help="folder with model.onnx and tokenizer.json")
    parser.add_argument("--home", type=Path, default=HOME)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--again", action="store_true", help="pairs and questions, from the packages that are there")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    deny = read_denylist(args.deny, args.copies, frozenset(LANGUAGES))
    prepare(args.home, deny, args.processes, again=args.again)
    began = time.monotonic()
    table = train(load_material(args.home), args.start, Recipe(steps=args.steps))
    _LOG.info("trained in %.0f s", time.monotonic() - began)
    for name, digest in write_table(table, args.out).items():
        _LOG.info("%s sha256 %s", name, digest)


def prepare(home: Path, deny: DenyList, processes: int, *, again: bool) -> None:
    """Packages and what is made of them."""
    began = time.monotonic()
    if not (home / "packages" / "index.json").exists():
        get_packages(home, deny, list(FETCHERS))
    if again or not (home / "pairs.npz").exists():
        make_data(home, deny, processes)
    _LOG.info("data in %.0f s", time.monotonic() - began)


def train(material: Material, start: Path | None, recipe: Recipe) -> Table:
    """The learned table; scores on held-out packages are logged on the way, untrained first."""
    names = material.names
    rows = weighted(names, from_transformer(names, start)) if start else from_wordllama(names)
    _LOG.info("untrained: %s", mean_score(material.exams, material.rows_of @ rows))

    def watch(step: int, learned: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> None:
        _LOG.info("step %d: %s", step, mean_score(material.exams, material.rows_of @ learned))

    learned = learn(rows, material.examples, recipe, watch)
    learned = learned * weights_of(names, IDF_POWER)
    whole = quantized(learned).astype(np.float32)
    _LOG.info("in int8: %s", mean_score(material.exams, material.rows_of @ whole))
    return Table(material.names, learned)


if __name__ == "__main__":
    main()
