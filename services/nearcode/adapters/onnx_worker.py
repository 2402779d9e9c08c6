"""The process that owns a transformer in ONNX: texts in, unit vectors out, see `onnx_embedder.py`.

Each text runs alone, on one core, several texts at once. Measured with bge-small in int8 on code of 240 tokens: 20 texts a
second and core, against 17 in batches of 8 and 14 in batches of 64, which also take up to 1.1 GB; only texts of less than 32
tokens would gain. And a text's vector is the same whatever is embedded with it: int8 models scale by the batch's largest value.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from nearcode.domain.index import ModelProfile
from nearcode.domain.model_input import model_text
from nearcode.runtime.child import serve
from nearcode.runtime.priority import lowest_priority

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"

_POOLING: Mapping[str, Callable[[Any], Any]] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(axis=0),
    "last": lambda states: states[-1],
}


class Broken(Exception):
    """The model's files cannot be read, or are no embedder."""


class Misfit(Exception):
    """The model is another one than its profile says."""


class BadVector(Exception):
    """The model answered what is no direction."""


class Model:
    """A loaded model of `folder`. Raises Broken, Misfit, BadVector."""

    def __init__(self, profile: ModelProfile, folder: Path, threads: int) -> None:
        self._profile, self._pool = profile, ThreadPoolExecutor(threads)
        self._tokenizer = _tokenizer(folder / TOKENIZER, profile.max_tokens)
        self._session = _session(folder / MODEL)
        self._inputs = frozenset(given.name for given in self._session.get_inputs())
        self._embed("warm up", False)

    def embed(self, texts: Sequence[str], query: bool) -> bytes:
        """Vectors of unit length, float32, one after the other; all or none."""
        return b"".join(self._pool.map(lambda text: self._embed(text, query), texts))

    def _embed(self, text: str, query: bool) -> bytes:
        import numpy as np

        read = self._tokenizer.encode(model_text(text, self._profile, query))
        ids = np.array([read.ids or [0]], np.int64)
        fields = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        try:
            found = self._session.run(None, {name: fields[name] for name in fields if name in self._inputs})[0][0]
        except Exception as error:
            raise Broken(f"it cannot be run: {error}") from error
        vector = np.asarray(found, np.float64)
        if vector.ndim > 1:
            vector = _POOLING[self._profile.pooling](vector)
        if vector.shape != (self._profile.dimensions,):
            raise Misfit(f"its vectors have {vector.shape[-1]} dimensions, its profile says {self._profile.dimensions}")
        norm = np.linalg.norm(vector)
        if not (np.isfinite(norm) and norm > 0):
            raise BadVector(f"a vector of length {norm}")
        return bytes((vector / norm).astype("<f4").tobytes())


def _tokenizer(file: Path, max_tokens: int) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers has no exception of its own
        raise Broken(f"{file.name}: {error}") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise Broken(f"{file.name}: {error}") from error


class Owner:
    """Loads the model while its owner is still starting, and again at the next request if that failed."""

    def __init__(self, profile: ModelProfile, folder: Path, threads: int, idle: bool) -> None:
        self._arguments, self._idle = (profile, folder, threads), idle
        self._model: Model | None = None

    def prepare(self) -> None:
        """Loads the model. What is wrong with it is told to the first request, which tries again."""
        if self._idle:
            lowest_priority()
        with suppress(Broken, Misfit, BadVector):
            self._model = Model(*self._arguments)

    def handle(self, request: tuple[Sequence[str], bool]) -> bytes:
        """Embeds texts, as questions or as documents."""
        if self._model is None:
            self._model = Model(*self._arguments)
        return self._model.embed(*request)


if __name__ == "__main__":
    owner = Owner(ModelProfile(**json.loads(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "idle")
    serve(owner.handle, owner.prepare)
