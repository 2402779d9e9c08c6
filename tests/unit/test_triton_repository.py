"""The Triton model repository in `models/` says the same as the model profiles."""

import re
from pathlib import Path

import pytest
from google.protobuf import text_format
from nearcode.embedding.profiles import profile
from tritonclient.grpc import model_config_pb2

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDERS = sorted(folder for folder in MODELS.iterdir() if folder.is_dir() and re.match(r"\w", folder.name))


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if (folder / "config.pbtxt").exists()], ids=lambda f: f.name)
def test_a_model_is_configured_as_its_profile_says(folder: Path) -> None:
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    wanted = profile(folder.name)
    assert list(config.output[0].dims) == [wanted.dimensions]
    assert config.parameters["pooling"].string_value == wanted.pooling
    assert config.parameters["max_tokens"].string_value == str(wanted.max_tokens)
    assert config.parameters["weights"].string_value == f"$NEARCODE_WEIGHTS/{folder.name}"
    assert config.dynamic_batching.priority_levels == 2
    assert config.dynamic_batching.default_queue_policy.max_queue_size > 0
    assert (folder / "1" / "model.py").read_text() == (MODELS / "text_embedder.py").read_text()
