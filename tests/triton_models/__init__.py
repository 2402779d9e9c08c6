"""Triton models for tests: scripted ones, and the repository's own on pinned weights."""

import shutil
from pathlib import Path

from tests.models import bge_small

MODELS = Path(__file__).resolve().parents[2] / "models"
HERE = Path(__file__).resolve().parent

_EMBEDDER = """
backend: "python"
max_batch_size: 8
input { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "VECTOR" data_type: TYPE_FP32 dims: [ %d ] }
instance_group { count: 1 kind: KIND_CPU }
dynamic_batching {
  priority_levels: 2
  default_priority_level: 2
  default_queue_policy { timeout_action: REJECT allow_timeout_override: true max_queue_size: %d }
}
"""
_WRITER = """
backend: "python"
model_transaction_policy { decoupled: true }
input { name: "text_input" data_type: TYPE_STRING dims: [ 1 ] }
input { name: "stream" data_type: TYPE_BOOL dims: [ 1 ] optional: true }
input { name: "sampling_parameters" data_type: TYPE_STRING dims: [ 1 ] optional: true }
input { name: "return_finish_reason" data_type: TYPE_BOOL dims: [ 1 ] optional: true }
output { name: "text_output" data_type: TYPE_STRING dims: [ -1 ] }
output { name: "finish_reason" data_type: TYPE_STRING dims: [ -1 ] }
output { name: "num_input_tokens" data_type: TYPE_UINT32 dims: [ -1 ] }
output { name: "num_output_tokens" data_type: TYPE_UINT32 dims: [ -1 ] }
instance_group { count: 2 kind: KIND_CPU }
parameters { key: "context_tokens" value { string_value: "4096" } }
"""


def scripted_embedder(repository: Path, name: str = "scripted", *, dimensions: int = 384, queue: int = 64) -> Path:
    """Adds the embedder that does what its texts say; returns the repository."""
    return _add(repository, name, _EMBEDDER % (dimensions, queue), "scripted_embedder.py")


def scripted_writer(repository: Path, name: str = "qwen2.5-coder-scripted") -> Path:
    """Adds the decoupled model that writes a line of code; returns the repository."""
    return _add(repository, name, _WRITER, "scripted_writer.py")


def bge_small_environment() -> dict[str, str]:
    """What Triton's environment needs for `models/bge-small-en-v1-5`."""
    return {"NEARCODE_WEIGHTS": str(bge_small().parent), "NEARCODE_EXECUTION_PROVIDER": "cpu"}


def own_model(repository: Path, name: str = "bge-small-en-v1-5") -> Path:
    """Copies a model of `models/`; returns the repository."""
    shutil.copytree(MODELS / name, repository / name, dirs_exist_ok=True)
    return repository


def _add(repository: Path, name: str, config: str, source: str) -> Path:
    version = repository / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (repository / name / "config.pbtxt").write_text(config)
    shutil.copy(HERE / source, version / "model.py")
    return repository
