"""What every language model and every generator keeps: the built-in model, vLLM and Ollama, in process and over gRPC."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest
from nearcode.adapters.embedded_model import EmbeddedModel
from nearcode.adapters.openai_http import OpenAIModel
from nearcode.adapters.triton_model import TritonModel
from nearcode.api.generation.v1 import generation_pb2
from nearcode.domain.completion import Generator, Message, Outcome
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.domain.language_model import ChatRequest, Finish, Infill, LanguageModel, TextRequest
from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.generation.profiles import load_profiles
from nearcode.generation.rpc import GenerationServicer, RemoteGenerator, outcome_from_proto, outcome_to_proto
from nearcode.generation.service import Generation
from nearcode.generation.settings import GenerationSettings
from nearcode.runtime.channel import Client, connect
from nearcode.runtime.health import Health
from nearcode.runtime.server import RpcServer, rpc_handler

from tests.contract.openai_server import OLLAMA, VLLM, OpenAIServer, openai_server
from tests.triton_models import scripted_writer
from tests.triton_server import triton_server

CODE = "import json\n\n\ndef read_json(path):\n    with open(path) as file:\n        return"
CURSOR = CodeCursor("files.py", CODE + " ", "\n")
SNIPPET = Snippet("r1", "shop/price.py", "b", 3, 4, 0.9, "def net(price):\n    return price / 1.2\n", language="python")
SECONDS = 30.0
WRITER = "qwen2.5-coder-scripted"


@asynccontextmanager
async def model_of(kind: str) -> AsyncIterator[LanguageModel]:
    if kind == "embedded":
        embedded = EmbeddedModel()
        try:
            yield embedded
        finally:
            await embedded.close()
        return
    if kind.startswith("grpc://"):
        triton = TritonModel(kind, WRITER)
        try:
            yield triton
        finally:
            await triton.close()
        return
    async with openai_server(kind) as server:
        model = OpenAIModel(server.url + "/v1")
        try:
            yield model
        finally:
            await model.close()


@asynccontextmanager
async def generator_of(kind: str, remote: bool) -> AsyncIterator[Generator]:
    async with model_of(kind) as model:
        local = Generation(model, load_profiles(), GenerationSettings())
        if not remote:
            yield local
            return
        service = generation_pb2.DESCRIPTOR.services_by_name["GenerationService"]
        handler = rpc_handler(service, GenerationServicer(local), seconds=60.0)
        server = RpcServer("127.0.0.1:0", [handler], authenticator=Anybody(), health=Health())
        async with server:
            channel = connect(server.address)
            yield RemoteGenerator(Client(channel, service))
            await channel.close()


class Anybody:
    async def authenticate(self, metadata: Mapping[str, str]) -> str:
        return "ada"


async def collect(stream: AsyncGenerator[str | Outcome, None]) -> tuple[str, Outcome]:
    parts = [part async for part in stream]
    assert isinstance(parts[-1], Outcome)
    return "".join(part for part in parts[:-1] if isinstance(part, str)), parts[-1]


async def read(stream: AsyncGenerator[str | Finish, None]) -> tuple[list[str], Finish]:
    parts = [part async for part in stream]
    assert isinstance(parts[-1], Finish)
    return [part for part in parts[:-1] if isinstance(part, str)], parts[-1]


KINDS = pytest.mark.parametrize("kind", ["embedded", VLLM, OLLAMA, "Triton"], indirect=True)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Triton server with a decoupled model."""
    with triton_server(tmp_path_factory.mktemp("triton"), scripted_writer(tmp_path_factory.mktemp("models"), WRITER)) as server:
        yield f"grpc://127.0.0.1:{server.ports['grpc']}"


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """What answers: a name, or the address of Triton."""
    return str(request.getfixturevalue("triton") if request.param == "Triton" else request.param)


@KINDS
async def test_a_model_streams_and_says_how_it_ended(kind: str) -> None:
    async with model_of(kind) as model:
        pieces, finish = await read(model.complete(TextRequest(CODE, 4)))
        assert "".join(pieces).strip()
        assert len(pieces) > 1
        assert finish.reason in ("stop", "length")
        assert finish.prompt_tokens > 0 and 0 < finish.completion_tokens <= 4


@KINDS
async def test_a_model_chats(kind: str) -> None:
    async with model_of(kind) as model:
        pieces, finish = await read(model.chat(ChatRequest([Message("user", "Say hello.")], 3)))
        assert "".join(pieces)
        assert finish.reason == "length"


@KINDS
async def test_a_model_tells_its_name_and_is_healthy(kind: str) -> None:
    async with model_of(kind) as model:
        assert (await model.served()).name
        assert await model.healthy()


@KINDS
async def test_a_closed_stream_leaves_the_model_usable(kind: str) -> None:
    async with model_of(kind) as model:
        stream = model.complete(TextRequest(CODE, 64))
        await anext(stream)
        await stream.aclose()
        assert (await read(model.complete(TextRequest(CODE, 2))))[0]


@KINDS
@pytest.mark.parametrize("remote", [False, True], ids=["in process", "over gRPC"])
async def test_a_generator_completes_in_time_and_closes_with_one_outcome(kind: str, remote: bool) -> None:
    async with generator_of(kind, remote) as generator:
        await collect(generator.complete(CURSOR, [SNIPPET], 8, SECONDS))  # starts the embedded model
        began = time.monotonic()
        text, outcome = await collect(generator.complete(CURSOR, [SNIPPET], 8, 5.0))
        assert time.monotonic() - began < 5.0
        assert text.strip() and "\n" not in text.strip()
        assert outcome.model and outcome.finish_reason in ("stop", "length", "deadline")
        assert outcome.snippets_used == 1


@KINDS
@pytest.mark.parametrize("remote", [False, True], ids=["in process", "over gRPC"])
async def test_a_generator_answers_questions_with_citations_or_its_words(kind: str, remote: bool) -> None:
    async with generator_of(kind, remote) as generator:
        question = [Message("user", "What is the net price?")]
        text, outcome = await collect(generator.chat(question, [SNIPPET], 0, SECONDS))
        assert text.strip()
        assert outcome.untrusted == (kind == "embedded")
        assert ("shop/price.py:3" in text) == outcome.untrusted


@pytest.mark.parametrize("remote", [False, True], ids=["in process", "over gRPC"])
async def test_a_generator_refuses_what_cannot_be_answered(remote: bool) -> None:
    async with generator_of(VLLM, remote) as generator:
        with pytest.raises(InvalidRequest):
            await collect(generator.complete(CURSOR, [], -1, SECONDS))
        with pytest.raises(InvalidRequest):
            await collect(generator.chat([], [], 0, SECONDS))


async def test_closing_a_remote_stream_stops_the_model() -> None:
    async with openai_server(VLLM, tokens=["a", ","] * 500, pause=0.01) as server:
        local = Generation(OpenAIModel(server.url), load_profiles(), GenerationSettings())
        service = generation_pb2.DESCRIPTOR.services_by_name["GenerationService"]
        handler = rpc_handler(service, GenerationServicer(local))
        async with RpcServer("127.0.0.1:0", [handler], authenticator=Anybody(), health=Health()) as here:
            channel = connect(here.address)
            stream = RemoteGenerator(Client(channel, service)).chat([Message("user", "?")], [], 0, SECONDS)
            await anext(stream)
            await stream.aclose()
            await until(lambda: server.running == 0)
            assert server.written < 400
            await channel.close()


def test_an_outcome_survives_the_wire() -> None:
    outcome = Outcome("m", "stop", 1, 2, True, 3)
    assert outcome_from_proto(outcome_to_proto(outcome)) == outcome


# Servers of others: who differs how, and what goes wrong


async def test_vllm_gets_the_familys_tokens_and_ollama_the_parts() -> None:
    request = TextRequest("<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", 4, ("<|endoftext|>",), Infill("a", "b"))
    async with openai_server(VLLM) as vllm, openai_server(OLLAMA) as ollama:
        for server in (vllm, ollama):
            model = OpenAIModel(server.url)
            await read(model.complete(request))
            await model.close()
        assert (vllm.requests[0]["prompt"], vllm.requests[0].get("suffix")) == (request.prompt, None)
        assert (ollama.requests[0]["prompt"], ollama.requests[0]["suffix"]) == ("a", "b")
        assert vllm.requests[0]["stream"] is True and vllm.requests[0]["stop"] == ["<|endoftext|>"]


async def test_the_context_that_vllm_tells_is_known() -> None:
    async with openai_server(VLLM) as server:
        model = OpenAIModel(server.url)
        assert (await model.served()).context_tokens == 16384
        await model.close()


async def test_ollamas_short_names_are_found() -> None:
    async with openai_server(OLLAMA) as server:
        model = OpenAIModel(server.url, "qwen2.5-coder")
        assert (await model.served()).name == "qwen2.5-coder:latest"
        await model.close()


SECRET = "password_of_the_bank"


async def failure(server: OpenAIServer, model: str = "", key: str | None = None) -> NearcodeError:
    client = OpenAIModel(server.url, model, key)
    try:
        with pytest.raises(NearcodeError) as raised:
            await read(client.complete(TextRequest(f"{SECRET} = ", 4)))
    finally:
        await client.close()
    assert SECRET not in raised.value.message
    return raised.value


@pytest.mark.parametrize(
    ("trouble", "kind", "reason", "says"),
    [
        ("500", Unavailable, Reason.GENERATOR_UNAVAILABLE, "status 500"),
        ("429", Unavailable, Reason.OVERLOADED, "busy"),
        ("503", Unavailable, Reason.OVERLOADED, "loading"),
        ("401", Unavailable, Reason.GENERATOR_UNAVAILABLE, "generation.api_key_file"),
        ("404", InvalidRequest, Reason.INVALID_SETTING, "generation.model"),
        ("413", InvalidRequest, Reason.TOO_LARGE, "context"),
        ("422", InvalidRequest, Reason.INVALID_FIELD, "status 422"),
        ("cut", Unavailable, Reason.GENERATOR_UNAVAILABLE, "log"),
        ("error", Unavailable, Reason.GENERATOR_UNAVAILABLE, "failed while it answered"),
        ("garbage", Unavailable, Reason.GENERATOR_UNAVAILABLE, "not JSON"),
    ],
)
async def test_every_failure_of_a_server_says_what_to_do(trouble: str, kind: type, reason: Reason, says: str) -> None:
    async with openai_server(VLLM, trouble=trouble) as server:
        error = await failure(server)
        assert (type(error), error.reason) == (kind, reason)
        assert says in error.message
        if isinstance(error, Unavailable) and reason is Reason.OVERLOADED:
            assert error.retry_after == 7.0


async def test_a_wrong_key_names_the_setting() -> None:
    async with openai_server(VLLM, key="right") as server:
        assert "generation.api_key_file" in (await failure(server, key="wrong")).message


async def test_an_unknown_model_names_those_that_are_served() -> None:
    async with openai_server(VLLM) as server:
        error = await failure(server, model="gpt-9")
        assert isinstance(error, InvalidRequest) and error.field == "generation.model"
        assert "Qwen/Qwen2.5-Coder-7B" in error.message


async def test_no_server_names_the_setting_and_is_found_when_it_comes() -> None:
    async with openai_server(VLLM) as server:
        url = server.url
    model = OpenAIModel(url)
    with pytest.raises(Unavailable, match=r"generation\.url"):
        await read(model.complete(TextRequest("x", 1)))
    assert not await model.healthy()
    await model.close()


async def test_a_server_that_recovers_is_used_again() -> None:
    async with openai_server(VLLM, trouble="500") as server:
        model = OpenAIModel(server.url)
        with pytest.raises(Unavailable):
            await read(model.complete(TextRequest("x", 4)))
        server.trouble = ""
        assert (await read(model.complete(TextRequest("x", 4))))[0]
        await model.close()


async def test_a_hanging_server_costs_the_deadline_and_no_more() -> None:
    async with openai_server(VLLM, trouble="hang") as server:
        model = OpenAIModel(server.url)
        generator = Generation(model, load_profiles(), GenerationSettings())
        began = time.monotonic()
        text, outcome = await collect(generator.complete(CURSOR, [], 0, 0.5))
        assert time.monotonic() - began < 0.55
        assert (text, outcome.finish_reason) == ("", "deadline")
        await until(lambda: server.running == 0)
        await model.close()


async def until(holds) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a server's state
            await asyncio.sleep(0.01)
