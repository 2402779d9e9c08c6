"""The dense lane: nearest chunks by meaning."""

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.index import DenseQuery
from nearcode.domain.terms import count_words, term_ids
from nearcode.retrieval.idf import Idf
from nearcode.retrieval.intent import Intent


def question_weights(intent: Intent, idf: Idf) -> dict[int, float]:
    """Term id -> idf of the words that are embedded, for models that weigh their words."""
    return idf.weights(term_ids(count_words(intent.text)))


def dense_query(vector: NDArray[np.float32], limit: int, path_prefix: str) -> DenseQuery:
    """The lane's question. `vector` has shape (dimensions,)."""
    return DenseQuery(vector, limit, path_prefix)
