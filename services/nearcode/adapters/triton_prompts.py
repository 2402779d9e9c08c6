"""What is sent to a decoupled language model on Triton: vLLM's and TensorRT-LLM's backends name it differently."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput

from nearcode.domain.completion import Message
from nearcode.domain.language_model import ChatRequest, TextRequest

_NUMPY = {"BYTES": np.object_, "BOOL": np.bool_, "INT32": np.int32, "UINT32": np.uint32, "INT64": np.int64, "FP32": np.float32}
_OPENING, _CLOSING = "<|im_start|>", "<|im_end|>"
"""ChatML, the template of most instruction models (Qwen, SmolLM2, Hermes)."""


def text_values(request: TextRequest) -> dict[str, Any]:
    """The inputs of a completion, under all the names that a model may have for them."""
    return _values(request.prompt, request.max_tokens, request.temperature, list(request.stop))


def chat_values(request: ChatRequest) -> dict[str, Any]:
    """The inputs of a chat: `messages` as JSON for models that apply their own template, and the prompt in ChatML."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    values = _values(chat_ml(request.messages), request.max_tokens, request.temperature, [_CLOSING])
    return values | {"messages": json.dumps(messages)}


def chat_ml(messages: Sequence[Message]) -> str:
    """The prompt that asks for the assistant's next turn. The template's marks in what people and code say are broken."""
    turns = [f"{_OPENING}{message.role}\n{_defused(message.content)}{_CLOSING}\n" for message in messages]
    return "".join(turns) + f"{_OPENING}assistant\n"


def tensors(inputs: Sequence[Any], values: Mapping[str, Any]) -> list[InferInput]:
    """The inputs that the model has of those that there are, in its types, batch dimension included."""
    return [_tensor(each, values[each.name]) for each in inputs if each.name in values and each.datatype in _NUMPY]


def _values(prompt: str, max_tokens: int, temperature: float, stop: list[str]) -> dict[str, Any]:
    sampling = {"max_tokens": max_tokens, "temperature": temperature, "stop": stop}
    return {
        "text_input": prompt,
        "stream": True,
        "exclude_input_in_output": True,
        "sampling_parameters": json.dumps(sampling),  # vLLM
        "return_finish_reason": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
        "max_tokens": max_tokens,  # TensorRT-LLM
        "temperature": temperature,
        "stop_words": stop or [""],
    }


def _tensor(about: Any, value: Any) -> InferInput:
    many = value if isinstance(value, list) else [value]
    encoded = [each.encode("utf-8", "replace") if isinstance(each, str) else each for each in many]
    array = np.array(encoded, _NUMPY[about.datatype]).reshape([1] * (max(1, len(about.shape)) - 1) + [len(many)])
    tensor = InferInput(about.name, list(array.shape), about.datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def _defused(text: str) -> str:
    return text.replace("<|im_", "< |im_")
