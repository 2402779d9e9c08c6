"""Weights for tests, as their profiles pin them: fetched once as a user fetches them, and kept outside the checkout.

Folders with `model.onnx` and `tokenizer.json`.
"""

import fcntl
import os
from functools import cache
from pathlib import Path

from nearcode.embedding.pulling import pull


def bge_small() -> Path:
    """bge-small-en-v1.5 in int8."""
    return _pulled("bge-small-en-v1-5")


def minilm() -> Path:
    """all-MiniLM-L6-v2 in int8."""
    return _pulled("minilm-l6-v2")


@cache
def _pulled(name: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nearcode-tests")
    home.mkdir(parents=True, exist_ok=True)
    with (home / "models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once fetch it once
        return pull(name, home, lambda done, total: None)
