"""What a model on Triton says of itself, and how texts travel to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from nearcode.adapters.triton_client import ANSWER_SECONDS, Served
from nearcode.domain.index import ModelProfile

_BYTES_A_TOKEN = 5
"""Of code, about; what lies beyond `max_tokens` of them is cut off by the model and costs nothing."""


@dataclass(frozen=True, slots=True)
class TextModel:
    """The names of its input and output, the texts of one request at most, whether its queue knows priorities, and how many
    bytes of a text cost time."""

    text: str
    vector: str
    batch: int
    priorities: bool
    text_bytes: int


async def read_text_model(client: InferenceServerClient, served: Served, profile: ModelProfile) -> TextModel:
    """Asks the server. Raises Unavailable when the model is not ready, InvalidRequest when it does not fit the profile."""
    with served.errors():
        ready, live = await asyncio.gather(
            client.is_model_ready(served.model, client_timeout=ANSWER_SECONDS),
            client.is_server_live(client_timeout=ANSWER_SECONDS),
        )
        if not (live and ready):
            raise served.missing() if live else served.unavailable("is not ready yet; wait, or look at Triton's log")
        about, answer = await asyncio.gather(
            client.get_model_metadata(served.model, client_timeout=ANSWER_SECONDS),
            client.get_model_config(served.model, client_timeout=ANSWER_SECONDS),
        )
    text, vector = _only(about.inputs, "BYTES", "input", served), _only(about.outputs, "FP32", "output", served)
    dimensions = int(vector.shape[-1])
    if dimensions not in (profile.dimensions, -1):
        raise served.unfit(
            f"gives vectors of {dimensions} dimensions, the profile {profile.name} has {profile.dimensions}; "
            f"serve that profile's model, or set {served.settings}.profile to the one that is served"
        )
    config = answer.config
    if config.max_batch_size < 1:
        raise served.unfit("takes no batches; give its config.pbtxt a max_batch_size of at least 1")
    priorities = config.dynamic_batching.priority_levels >= 2
    text_bytes = profile.max_tokens * _BYTES_A_TOKEN
    return TextModel(text.name, vector.name, config.max_batch_size, priorities, text_bytes)


def texts_tensor(name: str, texts: Sequence[bytes]) -> InferInput:
    """Shape (texts, 1)."""
    tensor = InferInput(name, [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=np.object_).reshape(-1, 1))
    return tensor


def _only(tensors: Sequence[Any], kind: str, what: str, served: Served) -> Any:
    fitting = [tensor for tensor in tensors if tensor.datatype == kind]
    if len(fitting) != 1:
        raise served.unfit(f"has {len(fitting)} {what}s of type {kind}, not one; serve a model made as models/README.md says")
    return fitting[0]
