"""Texts in, vectors of unit length out: Triton's Python backend over a tokenizer and an ONNX transformer.

Every model folder beside this file has it as its `1/model.py`; what differs between models are parameters in `config.pbtxt`.
Triton gathers the requests (dynamic batching). On a processor each text of them runs alone, on one core: a batch would be no
faster (bge-small in int8 on code: 20 texts a second and core alone, 17 in eights, 14 in batches of 64), and an int8 model's
vector would depend on what else is in it. On a GPU texts of like length run together, since a run costs its longest text times
their number.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
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


POOLING = {
    "cls": lambda hidden, mask: hidden[:, 0],
    "mean": lambda hidden, mask: (hidden * mask[..., None]).sum(1, dtype=np.float32) / mask.sum(1, dtype=np.float32)[:, None],
    "last": lambda hidden, mask: hidden[np.arange(len(hidden)), mask.sum(1) - 1],
}


class TritonPythonModel:
    """One instance: a tokenizer, a session and, on a processor, threads of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads config.pbtxt and loads the weights; what raises here keeps the model from getting ready."""
        config = json.loads(args["model_config"])
        values = {key: _expanded(entry["string_value"]) for key, entry in config["parameters"].items()}
        folder = _weights(values["weights"], Path(args["model_repository"], args["model_version"]))
        provider = values["execution_provider"] or "cpu"
        self._dimensions = int(config["output"][0]["dims"][-1])
        self._pooled = POOLING[values["pooling"]]
        self._tokens_a_run = 0 if provider == "cpu" else int(values["tokens_a_run"])
        self._threads = ThreadPoolExecutor(int(values["threads"]) or len(os.sched_getaffinity(0)))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(values["max_tokens"]))
        self._session = _session(folder, provider, args["model_instance_device_id"])
        self._inputs = {node.name for node in self._session.get_inputs()}
        found = self._run([self._tokenizer.encode("warm up").ids]).shape[1]
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
        ids = [each.ids or [0] for each in self._tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(texts)), key=lambda at: -len(ids[at]))
        vectors = np.empty((len(texts), self._dimensions), np.float32)
        if not self._tokens_a_run:
            for at, vector in zip(order, self._threads.map(lambda at: self._run([ids[at]]), order), strict=True):
                vectors[at] = vector[0]
        while self._tokens_a_run and order:
            count = max(1, self._tokens_a_run // len(ids[order[0]]))
            run, order = order[:count], order[count:]
            vectors[run] = self._run([ids[at] for at in run])
        return vectors

    def _run(self, texts: list[list[int]]) -> np.ndarray:
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(texts):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {name: feed[name] for name in self._inputs})[0].astype(np.float32, copy=False)
        pooled = self._pooled(hidden, mask)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def _expanded(value: str) -> str:
    """With `$VARIABLE` replaced from the environment; nothing if it is not set."""
    expanded = os.path.expandvars(value)
    return "" if "$" in expanded else expanded


def _weights(named: str, version: Path) -> Path:
    folder = Path(named) if named else version
    for file in ("model.onnx", "tokenizer.json"):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder / file} is missing: set NEARCODE_WEIGHTS, or copy the weights there")
    return folder


def _session(folder: Path, provider: str, device: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread takes a core from Triton
    where = None if provider == "cpu" else [{"device_id": device}] * len(PROVIDERS[provider])
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, PROVIDERS[provider], where)
    if session.get_providers()[0] != PROVIDERS[provider][0]:  # onnxruntime falls back to the processor without a word
        raise RuntimeError(f"execution provider {provider} is not to be had here; install onnxruntime-gpu, or say cpu")
    return session


def _response(vectors: np.ndarray) -> "pb_utils.InferenceResponse":
    return pb_utils.InferenceResponse([pb_utils.Tensor("VECTOR", vectors)])


def _cancelled() -> "pb_utils.InferenceResponse":
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))
