"""A Triton model that does what its texts say: `nan`, `hang`, `fail`, or `slow` for a tenth of a second."""

import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._dimensions = json.loads(args["model_config"])["output"][0]["dims"][-1]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        texts = [text.decode() for text in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()]
        words = " ".join(texts).split()
        if "hang" in words:
            self._hang(request)
        if "slow" in words:
            time.sleep(0.1)
        if "fail" in words:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"failed at {texts[0]}"))
        vectors = np.full((len(texts), self._dimensions), self._dimensions**-0.5, np.float32)
        vectors[["nan" in text.split() for text in texts]] = np.nan
        return pb_utils.InferenceResponse([pb_utils.Tensor("VECTOR", vectors)])

    def _hang(self, request: Any) -> None:
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            if request.is_cancelled():
                pb_utils.Logger.log_info("a hanging request was cancelled")
                return
            time.sleep(0.01)
