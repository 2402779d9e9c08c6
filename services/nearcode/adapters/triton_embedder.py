"""A transformer embedder on a Triton server: strings in, vectors out, over gRPC. The model's contract is models/README.md.

Texts of all callers go together into batches of like length (triton_batches.py). At most so many are under way as the server
takes without a queue (triton_limit.py); more texts wait here, so that no more is fetched than can be embedded. Questions do not
wait behind them.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from nearcode.adapters.triton_batches import Batches, Vectors
from nearcode.adapters.triton_client import ANSWER_SECONDS, Served, is_unavailable, queue_was_full
from nearcode.adapters.triton_limit import InFlightLimit
from nearcode.adapters.triton_tensors import TextModel, read_text_model, texts_tensor
from nearcode.domain.errors import NearcodeError, Reason
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.domain.model_input import model_text

if TYPE_CHECKING:
    import grpc

_QUESTION, _BULK = 1, 2
"""Triton's priority levels."""
_QUESTIONS_IN_FLIGHT = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds before a request that was refused is sent again."""


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch that was answered, for metrics: how many texts, how long the oldest of them waited for a place, how long the
    answer took (seconds), how often it was sent again; how many batches are under way, may be, and how many texts wait."""

    texts: int
    waited: float
    took: float
    retries: int
    in_flight: int
    limit: int
    waiting: int


class TritonEmbedder:
    """`url` is `grpc://HOST:PORT` or `grpcs://HOST:PORT`. A request may take `seconds`, a question `query_seconds`. `batch`
    (texts) and `in_flight` (batches) are upper limits. `settings` is the branch that errors name; `observe` is told of each
    batch."""

    def __init__(  # noqa: PLR0913 - the limits of one connection
        self,
        profile: ModelProfile,
        url: str,
        model: str,
        *,
        seconds: float = 30.0,
        query_seconds: float = 5.0,
        batch: int = 64,
        in_flight: int = 16,
        credentials: "grpc.ChannelCredentials | None" = None,
        settings: str = "embedding.chat",
        observe: Callable[[SentBatch], None] | None = None,
    ) -> None:
        self.profile = profile
        self._served = Served(url, model, Reason.EMBEDDER_UNAVAILABLE, settings)
        self._seconds, self._query_seconds, self._most = seconds, query_seconds, batch
        self._credentials, self._observe = credentials, observe
        self._client: InferenceServerClient | None = None
        self._model: TextModel | None = None
        self._opening: asyncio.Task[TextModel] | None = None
        self._limit = InFlightLimit(in_flight)
        self._batches = Batches(self._send, self._limit)
        self._questions = asyncio.Semaphore(_QUESTIONS_IN_FLIGHT)

    @property
    def in_flight(self) -> int:
        """Batches of files under way."""
        return self._batches.in_flight

    async def open(self) -> None:
        """Makes sure that the model is there, fits the profile and is warm. The first embedding does it otherwise, and again
        after the model was gone. Raises Unavailable, and InvalidRequest(INVALID_SETTING) if the model does not fit."""
        await self._fitting()

    async def close(self) -> None:
        """Ends what is under way, and the connection."""
        if self._opening:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._batches.close()
        if self._client:
            await self._client.close()
            self._client = None

    async def healthy(self) -> bool:
        """Whether the model answers now."""
        try:
            await self._fitting()
            with self._served.errors():
                return bool(await self._connected().is_model_ready(self._served.model, client_timeout=ANSWER_SECONDS))
        except NearcodeError:
            self._model = None
            return False

    async def embed_files(self, files: Sequence[FileTexts]) -> list[Vectors]:
        """One array of shape (chunks, dimensions) a file. A text to which a sound model gives a vector that is not finite keeps
        it, and fails its own file and no other. Raises Unavailable, and InvalidRequest(INVALID_SETTING) as `open` does."""
        model = await self._fitting()
        texts = [text for file in files for text in file.texts]
        prepared = await asyncio.to_thread(lambda: [model_text(text, self.profile, query=False).encode() for text in texts])
        vectors = await self._batches.embed(prepared, self.profile.dimensions, min(self._most, model.batch))
        arrays, start = [], 0
        for file in files:
            arrays.append(vectors[start : start + len(file.texts)])
            start += len(file.texts)
        return arrays

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> Vectors:
        """Shape (dimensions,), at the server's higher priority; `weights` are not used. Raises Unavailable."""
        model = await self._fitting()
        prepared = model_text(text, self.profile, query=True).encode()
        async with self._questions:
            [vector], _, _ = await self._infer(model, [prepared], self._query_seconds, _QUESTION)
        if not np.isfinite(vector).all():
            raise self._served.unavailable("gave a vector that is not finite; look at its weights")
        return np.asarray(vector, np.float32)

    async def _fitting(self) -> TextModel:
        """The model as it was found; looked at once for all who wait."""
        if self._model:
            return self._model
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._look())
            self._opening.add_done_callback(
                lambda ended: ended.cancelled() or ended.exception()
            )  # nobody may be left to see it
        return await asyncio.shield(self._opening)

    async def _look(self) -> TextModel:
        model = await read_text_model(self._connected(), self._served, self.profile)
        warm, _, _ = await self._infer(model, [b"warm up"], self._seconds, _BULK)
        if not np.isfinite(warm).all():
            raise self._served.unavailable("gives vectors that are not finite; look at its weights, load it again")
        self._model = model
        return model

    def _connected(self) -> InferenceServerClient:
        if self._client is None:
            self._client = self._served.connect(self._credentials)
        return self._client

    async def _send(self, texts: Sequence[bytes], waited: float) -> Vectors:
        model = await self._fitting()
        vectors, took, retries = await self._infer(model, texts, self._seconds, _BULK)
        if not np.isfinite(vectors).all():
            await self._look()  # raises if it is the model's fault; else it is the text's
        if len(texts) >= min(self._most, model.batch):  # small batches cost more and crowd nobody
            self._limit.answered(took / sum(min(len(text), model.text_bytes) for text in texts))
        if self._observe:
            running, waiting = self._batches.in_flight, self._batches.waiting
            self._observe(SentBatch(len(texts), waited, took, retries, running, int(self._limit), waiting))
        return vectors

    async def _infer(
        self, model: TextModel, texts: Sequence[bytes], seconds: float, priority: int
    ) -> tuple[Vectors, float, int]:
        """Vectors of shape (texts, dimensions), the seconds of the last try, and how many came before it. What Triton calls
        unavailable is sent again until `seconds` are over; a question only when the queue was full."""
        ends, refusal = time.monotonic() + seconds, None
        for tries in count():
            began = time.monotonic()
            try:
                return await self._ask(model, texts, ends - began, priority), time.monotonic() - began, tries
            except InferenceServerException as error:
                if full := queue_was_full(error):
                    self._limit.refused()
                    refusal = error
                pause = random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries)
                again = full or (is_unavailable(error) and priority == _BULK)
                if not again or time.monotonic() + pause >= ends:
                    self._model = None if not full else self._model  # it may come back as another one
                    last = time.monotonic() - began < _LONGEST_PAUSE  # too short a try to say more than the one before
                    with self._served.errors():
                        raise (refusal or error) if last else error from error.__cause__
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _ask(self, model: TextModel, texts: Sequence[bytes], seconds: float, priority: int) -> Vectors:
        result = await self._connected().infer(
            self._served.model,
            [texts_tensor(model.text, texts)],
            priority=priority if model.priorities else 0,
            timeout=max(1, round(seconds * 1e6)),  # microseconds in Triton's queue
            client_timeout=seconds,
        )
        vectors = result.as_numpy(model.vector)
        expected = (len(texts), self.profile.dimensions)
        if vectors is None or vectors.shape != expected:
            self._model = None
            shape = None if vectors is None else vectors.shape
            raise self._served.unfit(
                f"answered with shape {shape} instead of {expected}; serve the model of the profile {self.profile.name}"
            )
        return np.asarray(vectors, np.float32)
