"""What every embedder promises, whatever its model."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from nearcode.adapters.onnx_embedder import OnnxEmbedder
from nearcode.adapters.static_embedder import StaticEmbedder
from nearcode.adapters.triton_embedder import TritonEmbedder
from nearcode.adapters.vector_cache import VectorCache
from nearcode.domain.index import Embedder, FileTexts
from nearcode.domain.terms import count_identifiers, term_id
from nearcode.embedding.cached import CachedEmbedder
from nearcode.embedding.profiles import profile

from tests import models
from tests.triton_models import bge_small_environment, own_model
from tests.triton_server import triton_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

READING = """
def read_lines(path):
    with open(path) as file:
        return file.readlines()
"""
FILES = [
    FileTexts("src/storage/files.py", (READING, "def remove(path):\n    os.unlink(path)\n", "import os\n")),
    FileTexts("src/net/http_client.py", ("def send_request(url, body):\n    return session.post(url, data=body)\n",)),
    FileTexts("src/auth/passwords.py", ("def hash_password(password, salt):\n    return scrypt(password, salt=salt)\n",)),
    FileTexts("Größe.py", ("größe = 'ÄÖÜ 日本語 🙂 \ud800'\n", "\n\n", "")),
    FileTexts("", ("...",)),
    FileTexts("empty.py", ()),
]


@asynccontextmanager
async def static(folder: Path) -> AsyncIterator[Embedder]:
    yield StaticEmbedder(profile("nearcode-static-1"))


@asynccontextmanager
async def cached(folder: Path) -> AsyncIterator[Embedder]:
    yield CachedEmbedder(StaticEmbedder(profile("nearcode-static-1")), VectorCache(folder / "vectors.sqlite", 2**20))


@asynccontextmanager
async def onnx(name: str, weights: Path, log: Path) -> AsyncIterator[Embedder]:
    embedder = OnnxEmbedder(profile(name), weights, log)
    yield embedder
    await embedder.close()


@asynccontextmanager
async def triton(name: str, folder: Path) -> AsyncIterator[Embedder]:
    repository, environment = own_model(folder / "models", name), bge_small_environment()
    with triton_server(folder, repository, environment=environment) as server:
        embedder = TritonEmbedder(profile(name), f"grpc://127.0.0.1:{server.ports['grpc']}", name)
        yield embedder
        await embedder.close()


Build = Callable[[Path], AbstractAsyncContextManager[Embedder]]
STATIC: Mapping[str, Build] = {"static": static, "static, cached": cached}
TRANSFORMERS: Mapping[str, Build] = {
    "onnxruntime, bge-small": lambda folder: onnx("bge-small-en-v1-5", models.bge_small(), folder / "log"),
    "onnxruntime, minilm": lambda folder: onnx("minilm-l6-v2", models.minilm(), folder / "log"),
    "Triton, bge-small": lambda folder: triton("bge-small-en-v1-5", folder),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[*STATIC, *TRANSFORMERS])
async def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedder]:
    async with {**STATIC, **TRANSFORMERS}[request.param](tmp_path_factory.mktemp("embedder")) as built:
        yield built


@pytest_asyncio.fixture(loop_scope="module", params=list(STATIC))
async def static_embedder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Embedder]:
    async with STATIC[request.param](tmp_path) as built:
        yield built


async def test_each_chunk_has_a_vector_of_unit_length(embedder: Embedder) -> None:
    vectors = await embedder.embed_files(FILES)
    assert [array.shape for array in vectors] == [(len(file.texts), embedder.profile.dimensions) for file in FILES]
    for array in vectors:
        assert array.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(array, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("question", ["read a file", "", "?!", "größe 日本語 \ud800", "x" * 100_000, "word " * 50_000])
async def test_each_question_has_a_vector_of_unit_length(embedder: Embedder, question: str) -> None:
    vector = await embedder.embed_query(question, {})
    assert vector.shape == (embedder.profile.dimensions,) and vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


async def test_a_file_has_the_same_vectors_whatever_else_is_in_the_batch(embedder: Embedder) -> None:
    files = [file for file in FILES if file.texts]
    alone = {file.path: (await embedder.embed_files([file]))[0] for file in files}
    generator = np.random.default_rng(7)
    for _ in range(5):
        some = [files[at] for at in generator.permutation(len(files))[: generator.integers(1, len(files) + 1)]]
        for file, array in zip(some, await embedder.embed_files(some), strict=True):
            assert float((array * alone[file.path]).sum(axis=1).min()) >= 0.995
            if embedder.profile.static:
                assert array.tobytes() == alone[file.path].tobytes()


async def test_counting_words_beforehand_changes_nothing(static_embedder: Embedder) -> None:
    counted = [FileTexts(file.path, file.texts, tuple(map(count_identifiers, file.texts))) for file in FILES]
    fresh = StaticEmbedder(static_embedder.profile)
    for given, made in zip(await static_embedder.embed_files(counted), await fresh.embed_files(FILES), strict=True):
        assert given.tobytes() == made.tobytes()


async def test_a_huge_text_is_embedded(embedder: Embedder) -> None:
    words = " ".join(f"name{number}" for number in range(20_000))
    [array] = await embedder.embed_files([FileTexts("huge.py", (words, "def f(): pass", "A" * 1_000_000))])
    np.testing.assert_allclose(np.linalg.norm(array, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("open file and read lines", "src/storage/files.py"),
        ("send a http request", "src/net/http_client.py"),
        ("how is the password hashed", "src/auth/passwords.py"),
    ],
)
async def test_a_question_is_nearest_to_the_code_that_answers_it(embedder: Embedder, question: str, path: str) -> None:
    asked = await embedder.embed_query(question, {})
    vectors = await embedder.embed_files(FILES)
    nearest = {file.path: float((array @ asked).max()) for file, array in zip(FILES, vectors, strict=True) if file.texts}
    assert max(nearest, key=lambda each: nearest[each]) == path


async def test_a_word_without_weight_does_not_matter_to_a_question(static_embedder: Embedder) -> None:
    plain = await static_embedder.embed_query("hash password", {})
    filled = await static_embedder.embed_query("the hash password", {term_id("the"): 0.0})
    np.testing.assert_allclose(plain, filled, atol=1e-6)
