"""Sparse lexical vectors of documents: saturated term frequencies, weighed by nothing that other documents hold.

The weight of a word (idf) belongs to the question, see retrieval: a document's vector must depend on its file version alone.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.expansion import Expansion
from nearcode.domain.index import Sparse
from nearcode.domain.terms import identifier_term_ids

K1, B = 1.2, 0.75
"""Saturation and length normalization of BM25, at their usual values (Robertson and Zaragoza 2009, "The Probabilistic Relevance
Framework"). Docstring -> function of Django, hypothesis, aiohttp and rich, nDCG@10 of this lane alone: .21 .21 .23 .32 without
length normalization, .40 .44 .46 .51 with it."""

AVERAGE_LENGTH = 100
"""Terms of an average chunk: a constant, about that of Django's chunks, because a vector must not know of other chunks."""

FIELD_COUNT = 2
"""How often a field's word (names defined, enclosing scopes, words of the path) counts on top of its occurrences in the text,
before saturation, as in BM25F (Robertson, Zaragoza and Taylor 2004). Measured as above: +.01 for 2 instead of 1."""

_TERM_IDS = Expansion(identifier_term_ids)


def document_vectors(counts: Sequence[Mapping[str, int]], fields: Sequence[Sequence[str]] = ()) -> list[Sparse]:
    """One sparse vector a text from the counts of its identifiers. `fields` are further identifiers of each text.

    Indices are term ids, distinct and ascending (colliding terms add up); values are float32, of a text with `length` terms:
    tf (K1 + 1) / (tf + K1 (1 - B + B length / AVERAGE_LENGTH)).
    """
    counted = [_with_fields(each, fields[at] if fields else ()) for at, each in enumerate(counts)]
    identifiers = list(chain.from_iterable(counted))
    terms, per_identifier = _TERM_IDS(identifiers)
    tf = np.fromiter(chain.from_iterable(each.values() for each in counted), np.float64, len(identifiers))
    text = np.repeat(np.arange(len(counted), dtype=np.uint64), [len(each) for each in counted])
    text, tf = np.repeat(text, per_identifier), np.repeat(tf, per_identifier)
    lengths = np.bincount(text.astype(np.int64), tf, minlength=len(counted))
    keys, tf = _add_up(text << np.uint64(32) | terms.astype(np.uint64), tf)
    length = lengths[(keys >> np.uint64(32)).astype(np.int64)]
    ends = np.searchsorted(keys, np.arange(1, len(counted) + 1, dtype=np.uint64) << np.uint64(32))
    values = (tf * (K1 + 1) / (tf + K1 * (1 - B + B / AVERAGE_LENGTH * length))).astype(np.float32)
    indices = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    spans = pairwise((0, *ends.tolist()))
    return [Sparse(indices[start:end], values[start:end]) for start, end in spans]


def document_vector(counts: Mapping[str, int], fields: Sequence[str] = ()) -> Sparse:
    """The sparse vector of one text."""
    return document_vectors([counts], [fields])[0]


def file_terms(vectors: Sequence[Sparse], limit: int) -> NDArray[np.uint32]:
    """Distinct term ids of a file's chunks, sorted. Of more than `limit`, those in the most chunks: the weight of a word that
    is rare in its own file hardly depends on one count more or less."""
    if not vectors:
        return np.empty(0, np.uint32)
    terms, chunks = np.unique(np.concatenate([vector.indices for vector in vectors]), return_counts=True)
    if len(terms) > limit:
        terms = np.sort(terms[np.argsort(-chunks, kind="stable")[:limit]])
    return terms


def _with_fields(counts: Mapping[str, int], identifiers: Sequence[str]) -> Mapping[str, int]:
    if not identifiers:
        return counts
    counted = dict(counts)
    for identifier in identifiers:
        counted[identifier] = counted.get(identifier, 0) + FIELD_COUNT
    return counted


def _add_up(keys: NDArray[np.uint64], values: NDArray[np.float64]) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """Distinct keys in ascending order, with the sums of their values (whole numbers, so any order gives the same sum)."""
    if not len(keys):
        return keys, values
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.add.reduceat(values, starts)
