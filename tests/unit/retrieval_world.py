"""Small repositories to ask questions about: texts by path by repository, cut every few lines, embedded by their words."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from nearcode.domain.chunk import Chunk, point_id
from nearcode.domain.graph import GraphFacts, Links, pack_links
from nearcode.domain.imports import python_imports
from nearcode.domain.index import ChunkIndex, Embedder, FileTexts, IndexSpace, ModelProfile, Point
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.repository import Revision, blob_id
from nearcode.domain.retrieval import CodeCursor, Context, Query
from nearcode.domain.spaces import Opened, View
from nearcode.domain.sparse import document_vector
from nearcode.domain.terms import count_identifiers, count_terms, count_words, path_words, term_id
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings
from numpy.typing import NDArray

from tests.unit.memory_index import MemoryIndex

PROFILE = ModelProfile("words", 32, static=True)
SPACE = IndexSpace("completion", PROFILE)
_DEFINES = re.compile(r"^\s*(?:def|class|func|fn)\s+(\w+)", re.M)
_IMPORTS = re.compile(r"^\s*(?:import|from)\b.*", re.M)

Files = Mapping[str, Mapping[str, str]]
"""Repository -> path -> text."""


class WordEmbedder:
    """Implements Embedder: each word has a fixed direction."""

    profile = PROFILE

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        return [np.array([embed(" ".join((*path_words(file.path), text))) for text in file.texts]) for file in files]

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        return embed(text, weights)


def embed(text: str, weights: Mapping[int, float] | None = None) -> NDArray[np.float32]:
    """The sum of a text's words; a text without words points along the diagonal."""
    total = np.zeros(PROFILE.dimensions)
    for word in sorted(count_words(text)):
        bits = np.frombuffer(hashlib.sha256(word.encode()).digest(), np.uint8)
        total += (weights or {}).get(term_id(word), 1.0) * (bits.astype(np.float64) - 127.5)
    norm = np.linalg.norm(total)
    return (total / norm if norm else np.full(PROFILE.dimensions, PROFILE.dimensions**-0.5)).astype(np.float32)


@dataclass
class MemoryRevision:
    """Implements Revision over texts."""

    repository: str
    texts: Mapping[str, str]
    branch: str = "main"
    generation: int = 1
    oldest: int = 0
    commit: str = "c0"
    terms: Counter[int] = field(init=False)

    def __post_init__(self) -> None:
        self.terms = Counter(term for text in self.texts.values() for term in {term_id(each) for each in count_terms(text)})

    def blob(self, path: str) -> str | None:
        return blob_id(self.texts[path].encode()) if path in self.texts else None

    def term_files(self, term: int) -> int:
        return self.terms[term]

    def file_count(self) -> int:
        return len(self.texts)

    def paths(self) -> Sequence[str]:
        return sorted(self.texts)

    def graph_facts(self) -> GraphFacts:
        links = {path: Links(python_imports(text), tuple(_DEFINES.findall(text))) for path, text in self.texts.items()}
        terms = {path: sorted({term_id(term) for term in count_terms(text)}) for path, text in self.texts.items()}
        packed = {path: pack_links(each, 10_000) for path, each in sorted(links.items())}
        return GraphFacts(packed, {path: np.array(ids, "<u4").tobytes() for path, ids in sorted(terms.items())})


class MemoryRevisions:
    """Implements Revisions."""

    def __init__(self, revisions: Mapping[str, Revision]) -> None:
        self.revisions = dict(revisions)

    async def current(self, repository: str) -> Revision | None:
        return self.revisions.get(repository)


def cut_file(repository: str, path: str, text: str, lines: int = 8) -> list[Chunk]:
    """Chunks of a few lines each."""
    rows = text.splitlines()
    imports = tuple(_IMPORTS.findall(text))
    chunks = []
    for ordinal, start in enumerate(range(0, len(rows), lines)):
        part = "\n".join(rows[start : start + lines])
        names = tuple(_DEFINES.findall(part))
        end = min(start + lines, len(rows))
        blob = blob_id(text.encode())
        chunks.append(
            Chunk(repository, path, blob, ordinal, "python", "window", start + 1, end, part, path, (), names, (), imports)
        )
    return chunks


def point(chunk: Chunk) -> Point:
    """A chunk as it is stored."""
    lexical = document_vector(count_identifiers(chunk.text))
    vector = embed(" ".join((*path_words(chunk.path), chunk.text)))
    return Point(point_id(chunk, PROFILE.name), chunk, vector, lexical, ("main",), 1, "00-trace-00")


class OneView:
    """Implements Views."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def view(self) -> View:
        return self._view


class World:
    """Repositories, their index and someone to ask."""

    def __init__(self, files: Files) -> None:
        chunks = [chunk for name in files for path in files[name] for chunk in cut_file(name, path, files[name][path])]
        self.index: ChunkIndex = MemoryIndex(SPACE, [point(chunk) for chunk in chunks])
        self.revisions = MemoryRevisions({name: MemoryRevision(name, files[name]) for name in files})
        self.embedder: Embedder = WordEmbedder()

    def retrieval(self, candidates: int = 80) -> Retrieval:
        """The service over this world."""
        return Retrieval(
            OneView(View(Opened(self.index, self.embedder))), self.revisions, RetrievalSettings(candidates=candidates)
        )

    async def ask(self, question: str, *readable: str, seconds: float = 60.0, limit: int = 10) -> Context:
        """Asks as somebody who may read these repositories (none named: all of them), and wants whatever is found."""
        query = Query(question=question, limit=limit, everything=True)
        return await self.retrieval().retrieve(scope(*(readable or self.revisions.revisions)), query, seconds)

    async def at(self, path: str, prefix: str, suffix: str = "") -> Context:
        """Asks for the context of a place in code."""
        query = Query(cursor=CodeCursor(path, prefix, suffix))
        return await self.retrieval().retrieve(scope(*self.revisions.revisions), query, 60.0)


def scope(*repositories: str) -> Scope:
    """The scope of a user who may read these repositories."""
    return Principal("ada", 1, frozenset(repositories)).scope()


SHOP: Files = {
    "shop": {
        "shop/cart.py": "import decimal\nfrom shop.prices import discount\n\n\nclass Cart:\n    def add(self, item):\n"
        "        self.items.append(item)\n\n    def total(self):\n        return sum(discount(item) for item in self.items)\n",
        "shop/prices.py": "import decimal\n\n\ndef discount(item):\n    return item.price * decimal.Decimal('0.9')\n",
        "shop/__init__.py": "from shop.cart import Cart\n",
        "shop/mail.py": "import smtplib\n\n\ndef send_receipt(address, cart):\n    message = render(cart)\n"
        "    smtplib.SMTP('localhost').sendmail(address, message)\n",
        "tests/test_cart.py": "from shop.cart import Cart\n\n\ndef test_cart_total():\n    cart = Cart()\n    cart.add(1)\n"
        "    assert cart.total() == 1\n",
        "docs/conf.py": "project = 'shop'\n",
    },
    "bank": {
        "bank/account.py": "class Account:\n    def withdraw(self, amount):\n        self.balance -= amount\n",
        "bank/ledger.py": "def book(account, amount):\n    entries.append((account, amount))\n",
    },
}
