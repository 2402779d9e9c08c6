"""Texts in, vectors of unit length out: Triton's Python backend over a tokenizer and an ONNX transformer.

Every model folder beside this file has it as its `1/model.py`; what differs between models are parameters in `config.pbtxt`.
Triton gathers the requests (dynamic batching). Here their texts are sorted by length and run in parts of similar length, since
a part costs as many tokens as it has texts times the longest of them.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider"],
}


class TritonPythonModel:
    """One instance: a tokenizer and a session of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads config.pbtxt and loads the weights; what raises here keeps the model from getting ready."""
        config = json.loads(args["model_config"])
        values = {key: os.path.expandvars(entry["string_value"]) for key, entry in config["parameters"].items()}
        folder = _weights(values["weights"], Path(args["model_repository"], args["model_version"]))
        self._dimensions = int(config["output"][0]["dims"][-1])
        self._mean = {"cls": False, "mean": True}[values["pooling"]]
        self._tokens_a_run = int(values["tokens_a_run"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(values["max_tokens"]))
        self._session = _session(folder, values, args["model_instance_device_id"])
        self._inputs = {node.name for node in self._session.get_inputs()}
        found = self._run([self._tokenizer.encode("warm up")]).shape[1]
        if found != self._dimensions:
            raise ValueError(f"{folder / 'model.onnx'} gives {found} dimensions, config.pbtxt says {self._dimensions}")

    def execute(self, requests: list) -> list:
        """One response a request, in their order. Requests that nobody waits for any more are not computed."""
        texts: list[str] = []
        counts = []
        for request in requests:
            given = [] if request.is_cancelled() else pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
            texts += [text.decode("utf-8", "replace") for text in given]
            counts.append(len(given))
        vectors = self._embed(texts)
        responses, start = [], 0
        for count in counts:
            responses.append(_response(vectors[start : start + count]) if count else _cancelled())
            start += count
        return responses

    def _embed(self, texts: list[str]) -> np.ndarray:
        """Shape (texts, dimensions)."""
        encoded = self._tokenizer.encode_batch_fast(texts)
        vectors = np.empty((len(texts), self._dimensions), np.float32)
        order = sorted(range(len(texts)), key=lambda at: -len(encoded[at].ids))
        while order:
            count = max(1, self._tokens_a_run // max(1, len(encoded[order[0]].ids)))
            run, order = order[:count], order[count:]
            vectors[run] = self._run([encoded[at] for at in run])
        return vectors

    def _run(self, encoded: list) -> np.ndarray:
        longest = max(1, *(len(each.ids) for each in encoded)) if len(encoded) > 1 else max(1, len(encoded[0].ids))
        ids = np.zeros((len(encoded), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(encoded):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        pooled = (hidden * mask[..., None]).sum(1) / np.maximum(mask.sum(1), 1)[:, None] if self._mean else hidden[:, 0]
        return (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)


def _weights(named: str, version: Path) -> Path:
    """The folder that is named, or the version's own if there is no such name. `$VARIABLE` that is not set counts as no name."""
    folder = version if "$" in named or not named else Path(named)
    for file in ("model.onnx", "tokenizer.json"):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder / file} is missing: set NEARCODE_WEIGHTS, or copy the weights there")
    return folder


def _session(folder: Path, values: dict[str, str], device: str) -> onnxruntime.InferenceSession:
    named = values["execution_provider"]
    named = "cpu" if "$" in named else named
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(values["threads"]) or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread takes a core from Triton
    where = [] if named == "cpu" else [{"device_id": device}] * len(PROVIDERS[named])
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, PROVIDERS[named], where or None)
    if session.get_providers()[0] != PROVIDERS[named][0]:  # onnxruntime falls back to the CPU without a word
        raise RuntimeError(f"execution provider {named} is not to be had here; install onnxruntime-gpu, or say cpu")
    return session


def _response(vectors: np.ndarray) -> "pb_utils.InferenceResponse":
    return pb_utils.InferenceResponse([pb_utils.Tensor("VECTOR", vectors)])


def _cancelled() -> "pb_utils.InferenceResponse":
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))
