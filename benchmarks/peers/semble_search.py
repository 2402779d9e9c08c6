"""semble 0.7: its vectors, BM25 and ranking as delivered, or without the vectors; and the table of vectors that it uses.

semble's own table lies on a model hub. Where that is out of reach the general-text table of the package wordllama stands in,
and the row says so.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.bm25 import Bm25
from benchmarks.peers.tools import LIMIT, program

STAND_IN = "wordllama"


class SembleRanking(Bm25):
    """semble without its vectors: BM25 with boosts and penalties. Its command line cannot do that, its library can."""

    kind = "semble-bm25"

    @property
    def name(self) -> str:
        return f"BM25 + ranking (semble {version('semble')})"


class Semble(Bm25):
    """semble as delivered. It has no command to index alone, so the library does; a question is its command `search`."""

    kind = "semble"

    def __init__(self, model: str, told: str) -> None:
        self._model, self._told = model, told

    @property
    def name(self) -> str:
        return f"semble {version('semble')}" + (f", {self._told}" if self._told else "")

    def env(self, home: Path) -> Mapping[str, str]:
        return {**super().env(home), "SEMBLE_MODEL_NAME": self._model}

    def once(self, folder: Path, home: Path, question: str) -> Sequence[str]:
        return [program("semble"), "search", "--top-k", str(LIMIT), "--", question, str(folder)]


def semble(model: str, kept: Path) -> Semble:
    """semble with a model by name or folder, or with its own, or with the stand-in, which is written below `kept`."""
    from semble.utils import DEFAULT_MODEL_NAME

    if model:
        return Semble(model, f"vectors of {Path(model).name}")
    load = [sys.executable, "-c", "from semble.index.dense import load_model; load_model()"]
    if not subprocess.run(load, env=os.environ, capture_output=True, check=False).returncode:
        return Semble(DEFAULT_MODEL_NAME, "")
    print(f"semble's model {DEFAULT_MODEL_NAME} cannot be fetched here: the table of {STAND_IN} stands in", file=sys.stderr)
    return Semble(str(stand_in(kept / STAND_IN)), f"vectors of {STAND_IN}")


def stand_in(folder: Path) -> Path:
    """Writes the table of the package wordllama as a Model2Vec folder: a word piece is a row, a text their mean."""
    from safetensors.numpy import load_file, save_file

    package = find_spec(STAND_IN)
    if package is None or not package.submodule_search_locations:
        raise SystemExit(f"semble's model cannot be fetched, and the package {STAND_IN} is missing: --semble-model FOLDER")
    source = Path(package.submodule_search_locations[0])
    folder.mkdir(parents=True, exist_ok=True)
    rows = load_file(source / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    save_file({"embeddings": rows.astype("float32")}, folder / "model.safetensors")
    shutil.copy(source / "tokenizers" / "l2_supercat_tokenizer_config.json", folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({"normalize": True}), "utf-8")
    return folder
