"""Where a table starts from: a transformer's vectors of single words, another table, or chance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nearcode.domain.terms import term_id
from nearcode.retrieval.idf import Idf, load_prior
from numpy.typing import NDArray

DIMENSIONS = 256
_BATCH = 256
_WEIGHT_POWER = 0.75
"""Of a word's idf in its first norm; training goes on from there."""


def from_chance(names: Sequence[str], seed: int) -> NDArray[np.float32]:
    """Random directions."""
    return np.random.default_rng(seed).standard_normal((len(names), DIMENSIONS)).astype(np.float32)


def from_transformer(names: Sequence[str], folder: Path) -> NDArray[np.float32]:
    """The model's own vectors of each name alone (mean over its tokens), onto their 256 main directions, without their mean."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer.enable_padding()
    asked = {each.name for each in session.get_inputs()}
    order = sorted(range(len(names)), key=lambda at: len(names[at]))
    vectors: NDArray[np.float32] | None = None
    for at in range(0, len(order), _BATCH):
        batch = order[at : at + _BATCH]
        encoded = tokenizer.encode_batch([names[each] for each in batch])
        ids = np.array([each.ids for each in encoded], np.int64)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = session.run(None, {name: value for name, value in feed.items() if name in asked})[0]
        inner = mask.copy()
        inner[:, 0] = 0
        inner[np.arange(len(ids)), mask.sum(axis=1) - 1] = 0
        means = (states * inner[:, :, None]).sum(axis=1) / np.maximum(inner.sum(axis=1), 1)[:, None]
        if vectors is None:
            vectors = np.zeros((len(names), means.shape[1]), np.float32)
        vectors[batch] = means
    assert vectors is not None
    vectors -= vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return np.asarray(vectors @ directions[:, ::-1][:, :DIMENSIONS], np.float32)


def weighted(names: Sequence[str], vectors: NDArray[np.float32], power: float = _WEIGHT_POWER) -> NDArray[np.float32]:
    """The vectors with the norms that the public prior gives their words: a power of their idf, 1 for the rarest."""
    idf = Idf(load_prior(), [])
    weights = np.array([max(0.05, idf.weight(term_id(name))) for name in names]) ** power
    norms = np.linalg.norm(vectors, axis=1)
    return np.asarray(vectors * (weights / np.maximum(norms, 1e-6))[:, None], np.float32)
