"""Speaks the OpenAI HTTP API as vLLM or Ollama do: a double of a protocol, for what no test machine can run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

VLLM, OLLAMA = "vllm", "ollama"
MODELS = {
    VLLM: {"id": "Qwen/Qwen2.5-Coder-7B", "object": "model", "owned_by": "vllm", "max_model_len": 16384},
    OLLAMA: {"id": "qwen2.5-coder:latest", "object": "model", "owned_by": "bartowski"},
}


@dataclass
class OpenAIServer:
    """Writes `tokens`, slowly if `pause` seconds are given. `trouble` names a misbehavior of the next answers."""

    dialect: str
    tokens: list[str] = field(default_factory=lambda: ["return", " self", ".name", "\n"])
    pause: float = 0.0
    trouble: str = ""
    key: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0
    running: int = 0
    url: str = ""

    async def models(self, request: web.Request) -> web.Response:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "Unauthorized"}}, status=401)
        return web.json_response({"object": "list", "data": [MODELS[self.dialect]]})

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.12.6"}) if self.dialect == OLLAMA else web.Response(status=404)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if self.trouble.isdecimal():
            return web.json_response({"error": {"message": str(body)}}, status=int(self.trouble), headers={"Retry-After": "7"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self.running += 1
        try:
            await response.prepare(request)
            await self._write(response, "messages" in body, body["max_tokens"])
        finally:
            self.running -= 1
        return response

    async def _write(self, response: web.StreamResponse, chat: bool, limit: int) -> None:
        if self.trouble == "hang":
            await asyncio.sleep(3600)
        if chat:
            await self._event(response, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        for token in self.tokens[:limit]:
            await self._event(response, {"choices": [_choice(chat, token, None)]})
            self.written += 1
            await asyncio.sleep(self.pause)
            if self.trouble == "cut":
                assert response._payload_writer and response._payload_writer.transport
                response._payload_writer.transport.abort()
                return
            if self.trouble == "error":
                await self._event(response, {"object": "error", "message": "CUDA out of memory", "code": 500})
            if self.trouble == "garbage":
                await response.write(b"data: {\n\n")
        reason = "length" if limit < len(self.tokens) else "stop"
        if self.dialect == VLLM:
            await response.write(b": ping\n\n")
        await self._event(response, {"choices": [_choice(chat, "", reason)]})
        usage = {"prompt_tokens": 11, "completion_tokens": len(self.tokens[:limit]), "total_tokens": 16}
        await self._event(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")

    async def _event(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(b"data: " + json.dumps({"id": "c1", "model": "m", **event}).encode() + b"\n\n")


def _choice(chat: bool, text: str, reason: str | None) -> dict[str, Any]:
    content = {"delta": {"content": text}} if chat else {"text": text}
    return {"index": 0, "logprobs": None, "finish_reason": reason, **content}


@asynccontextmanager
async def openai_server(dialect: str, **options: Any) -> AsyncIterator[OpenAIServer]:
    """A server on a free loopback port."""
    server = OpenAIServer(dialect, **options)
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_get("/api/version", server.version)
    app.router.add_post("/v1/completions", server.answer)
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
