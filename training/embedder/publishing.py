"""Writes a learned table as the engine reads it, and reads it back."""

import hashlib
from pathlib import Path

import numpy as np
from nearcode.adapters.word_table import FILES
from numpy.typing import NDArray

from training.embedder.table import Table

FOLDER = Path(__file__).parents[2] / "embedder" / "nearcode_embedder"
_LARGEST_KEPT = 0.9995
"""Share of components that int8 holds as they are; the largest others are cut."""


def quantized(rows: NDArray[np.float32]) -> NDArray[np.int8]:
    """Int8, one step for the whole table: sums of rows stay whole numbers."""
    largest = float(np.quantile(np.abs(rows), _LARGEST_KEPT))
    return np.clip(np.rint(rows * (127 / largest)), -127, 127).astype(np.int8)


def write_table(table: Table, folder: Path = FOLDER) -> dict[str, str]:
    """Writes both files and returns their sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / FILES[0], quantized(table.rows))
    (folder / FILES[1]).write_text("\n".join(table.names) + "\n", "utf-8")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def read_table(folder: Path | None = None) -> Table:
    """A written table, None: the one in this repository."""
    folder = folder or FOLDER
    rows = np.load(folder / FILES[0], allow_pickle=False).astype(np.float32)
    return Table((folder / FILES[1]).read_text("utf-8").splitlines(), rows)
