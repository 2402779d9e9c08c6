"""`pip install nearcode` without its engine: contracts, client and command line, and clear words for what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = (
    "numpy", "onnxruntime", "tritonclient", "tokenizers", "safetensors", "nats", "nats_server", "qdrant_client", "qdrant_edge",
    "aiohttp", "xllamacpp", "tree_sitter", "watchfiles", "pathspec", "prometheus_client", "cryptography",
)  # fmt: skip
PROGRAM = """
import sys
from importlib.machinery import PathFinder

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {missing} else super().find_spec(name, path, target)

sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
from nearcode.cli.main import main
sys.exit(main({arguments}))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["models", "list"], 0),
        (["config", "print"], 0),
        (["doctor"], 1),
        (["status"], 4),
        (["models", "spaces"], 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_works_or_says_what_to_install(arguments: list[str], code: int, tmp_path: Path) -> None:
    weights = tmp_path / "models" / "bge-small-en-v1-5"
    weights.mkdir(parents=True)
    for name in ("model.onnx", "tokenizer.json"):
        (weights / name).write_bytes(b"")
    program = PROGRAM.format(missing=set(ENGINE), arguments=arguments)
    settings = {"NEARCODE_HOME": str(tmp_path), "NEARCODE_EMBEDDING__CHAT__FOLDER": str(weights), "PATH": "/usr/bin:/bin"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEARCODE_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**inherited, **settings}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "internal error" not in done.stderr
    if code:
        assert "nearcode[engine]" in done.stdout + done.stderr
