"""Stands between the operator and the API server: counts the operator's requests, and kills it at one of them."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from tests.k8s.kube import credentials

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
ANY = WRITES | {"GET"}
HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding"})


@dataclass
class Kill:
    """When the operator dies: at request number `after` from now of those that count (`methods`, and a kind of object that
    begins with `about`), before the API server sees it, or once the server has done it and before the operator is told."""

    after: int
    methods: frozenset[str]
    about: str
    forwarded: bool
    kill: Callable[[], None]
    request: str = ""
    """The request at which it happened; empty until then."""


@dataclass
class Proxy:
    """Watch streams pass. `requests` counts the others by method and kind of object, `watches` the streams."""

    server: str
    session: aiohttp.ClientSession
    requests: Counter[str] = field(default_factory=Counter)
    watches: int = 0
    armed: Kill | None = None
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Passes one request on."""
        watch = request.query.get("watch") in {"true", "1"}
        self.watches += watch
        kill = None if watch else self._count(request)
        if kill and not kill.forwarded:
            return self._strike(kill, request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP | {"authorization"}}
        headers["Accept-Encoding"] = "identity"
        target = URL(f"{self.server}{request.raw_path}", encoded=True)
        body = await request.read()
        async with self.session.request(request.method, target, headers=headers, data=body or None) as answer:
            if kill:
                await answer.read()
                return self._strike(kill, request)
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    def _count(self, request: web.Request) -> Kill | None:
        """The kill that is due with this request, if one is."""
        about, kill = kind_of(request.path), self.armed
        self.requests[f"{request.method} {about}"] += 1
        if kill is None or kill.request or request.method not in kill.methods or not about.startswith(kill.about):
            return None
        kill.after -= 1
        return kill if kill.after <= 0 else None

    def _strike(self, kill: Kill, request: web.Request) -> web.Response:
        kill.request = f"{request.method} {request.path}"
        self.armed = None
        kill.kill()
        return web.Response(status=502)


def kind_of(path: str) -> str:
    """The kind of object that an API path is about, and the subresource."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return "/".join([*rest[:1], *rest[2:3]]) or "discovery"


@asynccontextmanager
async def proxy(kubeconfig: Path) -> AsyncIterator[Proxy]:
    """A proxy with the rights of `kubeconfig`, for whoever comes."""
    server, context = credentials(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
    ) as one:
        made = Proxy(server, one)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", made.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        try:
            await site.start()
            host, port = runner.addresses[0][:2]
            made.url = f"http://{host}:{port}"
            yield made
        finally:
            await runner.cleanup()


def kubeconfig_for(server: str, file: Path) -> Path:
    """Writes a kubeconfig that leads to `server`, to which anybody may talk."""
    user = {"name": "operator", "user": {"token": "nobody"}}
    cluster = {"name": "test", "cluster": {"server": server}}
    context = {"name": "test", "context": {"cluster": "test", "user": "operator", "namespace": "default"}}
    parts = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "test"}
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **parts}))
    return file
