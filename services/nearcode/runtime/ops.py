"""The door for operators, over HTTP: /metrics, /livez, /readyz and /config."""

import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nearcode.runtime.health import Health
from nearcode.runtime.listening import host_and_port, refusal, refuse_plaintext

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OpsServer:
    """Answers operators on `listen` (`host:port`, port 0: any free one). `config(diff)` prints the settings, or only what
    differs from the defaults. `hosts` are further names that a Host header may give, such as a service's in a cluster.
    `context`: answers over HTTPS, which every place but loopback needs.

    Refuses names that are not its own (a web page may make a name of its own point to 127.0.0.1) and calls from other sites.
    """

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        health: Health,
        config: Callable[[bool], str],
        hosts: frozenset[str] = frozenset(),
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.address = ""
        self._context = context
        self._listen = listen
        self._registry, self._health, self._config = registry, health, config
        self._hosts = hosts | {"localhost", listen.rpartition(":")[0]}
        self._runner: web.AppRunner | None = None
        self.refresh: Callable[[], Awaitable[None]] = _nothing
        """Awaited before metrics are shown."""

    async def start(self) -> None:
        """Listens and answers. Raises Conflict (ADDRESS_IN_USE) and InvalidRequest (INVALID_SETTING)."""
        host, port = host_and_port(self._listen)
        if self._context is None:
            refuse_plaintext(self._listen)
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/config", self._print_config)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=self._context).start()
        except OSError as error:
            await runner.cleanup()
            raise refusal(host, port) from error
        self.address = f"{self._listen.rpartition(':')[0]}:{runner.addresses[0][1]}"
        self._runner = runner

    async def stop(self) -> None:
        """Stops answering."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> "OpsServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin")
        if not self._is_ours(host):
            raise web.HTTPForbidden(text="this Host is not served here\n")
        if origin is not None and urlsplit(origin).netloc != host:
            raise web.HTTPForbidden(text="calls from other sites are refused\n")
        return await handler(request)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)

    async def _metrics(self, request: web.Request) -> web.Response:
        await self.refresh()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        failing = self._health.failing
        return web.Response(text="".join(f"{name} fails\n" for name in failing) or "ok\n", status=503 if failing else 200)

    async def _print_config(self, request: web.Request) -> web.Response:
        return web.Response(text=self._config("diff" in request.query))


async def _nothing() -> None:
    """Everything is up to date."""


def _is_address(name: str) -> bool:
    """Whether a name is a bare IP address: nobody can make one of his own point elsewhere. Probes of Kubernetes use them."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
