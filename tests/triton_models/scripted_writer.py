"""A decoupled Triton model with the inputs of Triton's vLLM backend, that writes the same line of code each time.

The words `fail`, `empty`, `hang` and `slowly` in the prompt make it fail after a word, end without one, write nothing for long,
and write 20 lines at 20 words a second.
"""

import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

LINE = ["return", " self", ".name", "\n"]


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            self._write(request, request.get_response_sender())

    def _write(self, request: Any, sender: Any) -> None:
        prompt = _value(request, "text_input").decode()
        sampling = json.loads(_value(request, "sampling_parameters") or b"{}")
        orders = prompt.split()
        said = [] if "empty" in orders else LINE * 20 if "slowly" in orders else LINE
        ends = time.monotonic() + 30 * ("hang" in orders)
        while time.monotonic() < ends and not request.is_cancelled():
            time.sleep(0.01)
        limit = sampling.get("max_tokens", 16)
        for number, word in enumerate(said[:limit], 1):
            if request.is_cancelled():
                pb_utils.Logger.log_info(f"a writer was cancelled after {number - 1} words")
                break
            reason = ("length" if limit < len(said) else "stop") if number == min(limit, len(said)) else ""
            sender.send(_response(word, reason, len(orders)))
            if "fail" in orders:
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(f"cannot write {prompt}")))
                break
            if "slowly" in orders:
                time.sleep(0.05)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _value(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return tensor.as_numpy().ravel()[0] if tensor is not None else None


def _response(word: str, reason: str, asked: int) -> Any:
    values = {
        "text_output": np.array([word.encode()], object),
        "finish_reason": np.array([reason.encode()], object),
        "num_input_tokens": np.array([asked], np.uint32),
        "num_output_tokens": np.array([1], np.uint32),
    }
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in values.items()])
