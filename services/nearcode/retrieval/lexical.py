"""The lexical lane: chunks that hold the question's words, each weighed by how much it tells."""

from functools import lru_cache

import numpy as np

from nearcode.domain.index import DefinitionQuery, LexicalQuery, Sparse
from nearcode.domain.terms import term_id
from nearcode.retrieval.idf import Idf, Prior
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.stems import relatives

MOST_TERMS = 96
"""Terms of a question at most, the most telling first: bounds the work of a pasted log."""
RELATIVE = 0.3
"""Weight of a word's relatives (routes, routing for route) to the word itself."""
FEW = 24
"""Questions of more terms are code or logs, and are not widened."""


def lexical_query(intent: Intent, idf: Idf, limit: int, path_prefix: str) -> LexicalQuery:
    """The lane's question: terms weighed by idf, few ones widened by the public words that share their stem."""
    weights = {term_id(term): weight * idf.weight(term_id(term)) for term, weight in intent.terms.items()}
    if len(intent.terms) <= FEW:
        for term, weight in intent.terms.items():
            for relative in _public_relatives(term, idf.prior):
                if relative not in weights:
                    weights[relative] = RELATIVE * weight * idf.weight(relative)
    kept = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:MOST_TERMS]
    kept.sort()
    indices, values = zip(*kept, strict=True) if kept else ((), ())
    return LexicalQuery(Sparse(np.array(indices, np.uint32), np.array(values, np.float32)), limit, path_prefix)


@lru_cache(maxsize=20_000)
def _public_relatives(term: str, prior: Prior) -> tuple[int, ...]:
    """Ids of the words of public code that share the term's stem."""
    return tuple(id for id in map(term_id, relatives(term)) if prior.knows(id))


def definition_query(intent: Intent, limit: int, path_prefix: str) -> DefinitionQuery | None:
    """Asks for chunks that define what is named; None if nothing is."""
    return DefinitionQuery(intent.names, limit, path_prefix) if intent.names else None


def attainable(intent: Intent, idf: Idf) -> float:
    """What a chunk would score that holds every term of the question once: makes scores of two questions comparable."""
    return sum(weight * idf.weight(term_id(term)) for term, weight in intent.terms.items()) or 1.0
