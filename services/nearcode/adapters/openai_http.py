"""A language model behind the OpenAI HTTP API: vLLM, Ollama, llama.cpp server and hosted ones.

What differs between them is small: who sets the fill-in-the-middle tokens, how usage is reported, how errors look in the
middle of a stream. Prompts and the server's words about them are never logged or put into errors.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from nearcode.adapters.openai_stream import read_parts
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.domain.language_model import ChatRequest, Finish, ServedModel, TextRequest

_CONNECT_SECONDS = 5.0
# No token for this long means the server hangs: the longest prompt a laptop reads takes about a minute.
_SILENCE_SECONDS = 120.0
_DISCOVERY_SECONDS = 5.0
_LINE_BYTES = 2**20
# llama.cpp and vLLM close idle connections after 5 s; we must be first.
_KEEP_ALIVE_SECONDS = 3.0
_OWNERS = {"vllm": "vllm", "llamacpp": "llama.cpp", "library": "ollama"}


@dataclass(frozen=True, slots=True)
class _Server:
    """What `/v1/models` told: `kind` is vllm, llama.cpp, ollama or other."""

    model: ServedModel
    kind: str


class OpenAIModel:
    """`LanguageModel` over HTTP. `url` may end in `/v1` or not; an empty `model` means the first one served. `context`: whom to
    trust at `https://` (default: the system's authorities)."""

    def __init__(self, url: str, model: str = "", api_key: str | None = None, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._base = url.rstrip("/").removesuffix("/v1").rstrip("/")
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session: aiohttp.ClientSession | None = None
        self._server: _Server | None = None
        self._asking: asyncio.Task[_Server] | None = None

    async def served(self) -> ServedModel:
        """The model that will answer; asked once, and again after an error."""
        return (await self._discover()).model

    async def healthy(self) -> bool:
        """Whether the server lists the model now."""
        self._server = None
        try:
            await self._discover()
        except NearcodeError:
            return False
        return True

    async def complete(self, request: TextRequest) -> AsyncGenerator[str | Finish, None]:
        """Streams the continuation of a prompt."""
        server = await self._discover()
        body: dict[str, Any] = {"prompt": request.prompt}
        if server.kind == "ollama" and request.infill:
            # Ollama wraps a bare prompt into the model's chat template; with a suffix it fills in the middle instead.
            body = {"prompt": request.infill.prefix, "suffix": request.infill.suffix or "\n"}
        body |= {"max_tokens": request.max_tokens, "temperature": request.temperature, "stop": list(request.stop)}
        async with aclosing(self._stream("/v1/completions", server, body)) as parts:
            async for part in parts:
                yield part

    async def chat(self, request: ChatRequest) -> AsyncGenerator[str | Finish, None]:
        """Streams the answer to a conversation."""
        server = await self._discover()
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        body = {"messages": messages, "max_tokens": request.max_tokens, "temperature": request.temperature}
        async with aclosing(self._stream("/v1/chat/completions", server, body)) as parts:
            async for part in parts:
                yield part

    async def close(self) -> None:
        """Ends all connections."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        if self._session:
            await self._session.close()
            self._session = None

    async def _stream(self, path: str, server: _Server, body: Mapping[str, Any]) -> AsyncGenerator[str | Finish, None]:
        body = {**body, "model": server.model.name, "stream": True, "stream_options": {"include_usage": True}}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        async with (
            self._answer("POST", path, timeout, json=body) as response,
            aclosing(read_parts(response.content)) as parts,
        ):
            async for part in parts:
                yield part

    async def _discover(self) -> _Server:
        """Asked once for all who wait; goes on when one of them gives up, so that short deadlines do not keep us ignorant."""
        if self._server:
            return self._server
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._list())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait any more
        return await asyncio.shield(self._asking)

    async def _list(self) -> _Server:
        timeout = aiohttp.ClientTimeout(total=_DISCOVERY_SECONDS)
        async with self._answer("GET", "/v1/models", timeout) as response:
            listed = _listed(await response.read())
        entry = self._chosen(listed)
        self._server = _Server(_served(entry), await self._kind(str(entry.get("owned_by", ""))))
        return self._server

    def _chosen(self, listed: list[dict[str, Any]]) -> dict[str, Any]:
        names = [str(entry.get("id", "")) for entry in listed]
        if not self._model and listed:
            return listed[0]
        for name, entry in zip(names, listed, strict=True):
            if name in (self._model, f"{self._model}:latest"):
                return entry
        shown = ", ".join(names[:10]) or "none"
        raise InvalidRequest(
            f"{self._base} does not serve the model {self._model!r}; it serves: {shown}. Set generation.model to one of them.",
            Reason.INVALID_SETTING,
            "generation.model",
        )

    async def _kind(self, owner: str) -> str:
        """Ollama owns models under their publisher's name, so it is asked for its own version page."""
        if owner in _OWNERS:
            return _OWNERS[owner]
        if owner == "openai":
            return "other"
        timeout = aiohttp.ClientTimeout(total=_DISCOVERY_SECONDS)
        try:
            async with self._open().get(f"{self._base}/api/version", headers=self._headers, timeout=timeout) as response:
                return "ollama" if response.status == 200 and b'"version"' in await response.read() else "other"
        except (aiohttp.ClientError, TimeoutError, OSError):
            return "other"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                keepalive_timeout=_KEEP_ALIVE_SECONDS, limit=0, ssl=self._context if self._context else True
            )
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_LINE_BYTES)
        return self._session

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, timeout: aiohttp.ClientTimeout, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response. Leaving it closes the connection, which is what makes every one of these servers stop."""
        try:
            response = await self._ask(method, path, timeout=timeout, **options)
            try:
                if response.status != 200:
                    raise self._refused(response.status, response.headers, await response.read())
                yield response
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            self._server = None
            raise self._unreachable(error) from error
        except Unavailable:
            self._server = None
            raise

    async def _ask(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        """Asks again, once, when the server had closed the idle connection that was used."""
        for last in (False, True):
            try:
                return await self._open().request(
                    method, self._base + path, headers=self._headers, allow_redirects=False, **options
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if last or isinstance(error, aiohttp.ClientConnectorError):
                    raise
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: BaseException) -> Unavailable:
        if isinstance(error, aiohttp.ClientSSLError):
            cause = getattr(error.os_error, "verify_message", "") or error.os_error
            what = f"TLS with the model server at {self._base} fails ({cause}): correct its certificate, or generation.ca_file"
            return Unavailable(what, Reason.CERTIFICATE, 30.0)
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
            what = f"no model server answers at {self._base}; start it, or correct generation.url"
        elif isinstance(error, TimeoutError):
            what = f"the model server at {self._base} hangs; look at its log, or restart it"
        else:
            what = f"the model server at {self._base} closed the connection while it answered; look at its log"
        return Unavailable(what, Reason.GENERATOR_UNAVAILABLE)

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> NearcodeError:
        """The error for a status that is not 200. The body may quote the prompt: it is classified, never passed on."""
        self._server = None
        words = body[:4096].lower()
        if status in (401, 403):
            return Unavailable(
                f"{self._base} refused the API key; put a valid one into the file that generation.api_key_file names",
                Reason.GENERATOR_UNAVAILABLE,
            )
        if status == 404:
            return InvalidRequest(
                f"{self._base} does not know the model {self._model!r} or the API; check generation.model and generation.url",
                Reason.INVALID_SETTING,
                "generation.model",
            )
        if status in (429, 503):
            return Unavailable(f"the model server at {self._base} is busy or loading", Reason.OVERLOADED, _seconds(headers))
        if status == 413 or (status == 400 and b"context" in words):
            return InvalidRequest("the prompt is longer than the model's context", Reason.TOO_LARGE)
        if status < 500:
            return InvalidRequest(f"the model server at {self._base} refused the request with status {status}")
        return Unavailable(
            f"the model server at {self._base} failed with status {status}; look at its log", Reason.GENERATOR_UNAVAILABLE
        )


def _listed(body: bytes) -> list[dict[str, Any]]:
    try:
        data = json.loads(body).get("data") or []
    except (ValueError, AttributeError) as error:
        raise Unavailable(
            "the server's model list is not what the OpenAI API says; check generation.url", Reason.GENERATOR_UNAVAILABLE
        ) from error
    return [entry for entry in data if isinstance(entry, dict)]


def _served(entry: Mapping[str, Any]) -> ServedModel:
    """vLLM tells `max_model_len`, llama.cpp `meta.n_ctx`, Ollama nothing."""
    meta = entry.get("meta")
    context = entry.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else 0)
    return ServedModel(str(entry.get("id", "")), int(context or 0))


def _seconds(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 1.0
