"""Where a table starts from: a transformer's vectors of single words, another table, or chance."""

from collections.abc import Sequence
from importlib.util import find_spec
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


def from_wordllama(names: Sequence[str]) -> NDArray[np.float32]:
    """Rows of the table in the package `wordllama` (its files are read, its loader goes to the network): of each name the
    sum of its word pieces over the root of their number. The longest has norm 1; norms carry the weights of words."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    found = find_spec("wordllama")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the table starts from the package wordllama: uv sync --group training")
    folder = Path(found.submodule_search_locations[0])
    rows = next(iter(load_file(folder / "weights" / "l2_supercat_256.safetensors").values())).astype(np.float32)
    tokenizer = Tokenizer.from_str((folder / "tokenizers" / "l2_supercat_tokenizer_config.json").read_text("utf-8"))
    blank = tokenizer.token_to_id("▁")
    made = np.zeros((len(names), rows.shape[1]), np.float32)
    for at, encoded in enumerate(tokenizer.encode_batch_fast(list(names), add_special_tokens=False)):
        pieces = [piece for piece in encoded.ids if piece != blank] or encoded.ids
        made[at] = rows[pieces].sum(axis=0) / np.sqrt(len(pieces))
    return np.asarray(made / np.linalg.norm(made, axis=1).max(), np.float32)


def weights_of(names: Sequence[str], power: float) -> NDArray[np.float32]:
    """A power of each word's idf by the public prior, shape (names, 1)."""
    idf = Idf(load_prior(), [])
    weights = np.array([max(0.05, idf.weight(term_id(name))) for name in names]) ** power
    return np.asarray(weights[:, None], np.float32)


def weighted(names: Sequence[str], vectors: NDArray[np.float32], power: float = _WEIGHT_POWER) -> NDArray[np.float32]:
    """The vectors with the norms that the public prior gives their words: a power of their idf, 1 for the rarest."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-6) * weights_of(names, power), np.float32)
