"""Looks at every dependency: is it there, which version, does it work, and if not, what to do."""

import asyncio
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from nearcode.domain.errors import NearcodeError
from nearcode.domain.repository import RepositoryStatus
from nearcode.engine import client
from nearcode.settings import Settings
from nearcode.stores import tls_of

_LEAST_FREE = 1_000_000_000
"""Bytes: less is soon full. An index takes about as much as the code."""
_SECONDS = 30.0
_ENGINE = "pip install 'nearcode[engine]'"


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. `todo` says what to do where it is not healthy, or what would be better."""

    name: str
    found: str
    version: str
    healthy: bool
    todo: str = ""


async def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which things are needed. Starts what runs nowhere, for a moment."""
    checks = [_python(), _disk(settings.home), _git(), _package("embedded index", "qdrant_edge", "qdrant-edge-py")]
    checks += [_package("parsers", "tree_sitter", "tree-sitter"), _events_program(settings)]
    checks += _certificates(settings)
    checks += [await _embedder(settings), await _chat_model(settings)]
    checks += [await _engine(settings), await _language_model(settings)]
    return checks


def _python() -> Check:
    good = sys.version_info >= (3, 11)
    return Check("python", sys.executable, platform.python_version(), good, "" if good else "install Python 3.11 or newer")


def _disk(home: Path) -> Check:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    todo = "" if free >= _LEAST_FREE else "free at least 1 GB, or choose another home: --home or NEARCODE_HOME"
    return Check("home", str(home), f"{free / 1e9:.1f} GB free", not todo, todo)


def _git() -> Check:
    program = shutil.which("git")
    if not program:
        return Check("git", "", "", False, "install git: repositories and their ignore rules are read with it")
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return Check("git", program, text.split()[-1] if text else "", bool(text))


def _package(name: str, module: str, distribution: str) -> Check:
    spec = find_spec(module)
    try:
        number = version(distribution)
    except PackageNotFoundError:
        number = ""
    found = str(Path(spec.origin).parent) if spec and spec.origin else ""
    return Check(name, found, number, bool(found), "" if found else f"{_ENGINE} (no wheel for this platform? set index.url)")


def _events_program(settings: Settings) -> Check:
    from nearcode.adapters.nats_child import nats_server

    if settings.events.url:
        return Check("event broker", settings.events.url.rpartition("@")[2], "", True)
    try:
        program = nats_server()
    except NearcodeError as error:
        return Check("event broker", "", "", False, error.message)
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return Check("event broker", program, text.split()[-1].lstrip("v") if text else "", bool(text), "" if text else _ENGINE)


def _certificates(settings: Settings) -> list[Check]:
    """The certificates that the settings name; an engine without any has nothing to check."""
    named = settings.tls.cert_file or settings.tls.ca_file
    if not named:
        return []
    try:
        material = tls_of(settings).material()
    except NearcodeError as error:
        return [Check("certificates", str(named), "", False, error.message)]
    until = time.strftime("%Y-%m-%d", time.gmtime(material.expires or material.ca_expires))
    return [Check("certificates", str(named), f"until {until}", True, "; ".join(material.warnings))]


async def _embedder(settings: Settings) -> Check:
    if not find_spec("numpy"):
        return Check("embedding model", "", settings.embedding.profile, False, _ENGINE)
    from nearcode.adapters.static_embedder import StaticEmbedder
    from nearcode.embedding.profiles import profile

    named = settings.embedding
    try:
        await StaticEmbedder(profile(named.profile), named.table).load()
    except NearcodeError as error:
        return Check("embedding model", str(named.table or ""), named.profile, False, error.message)
    return Check("embedding model", str(named.table or "nearcode-embedder"), named.profile, True)


async def _chat_model(settings: Settings) -> Check:
    """The chat space's model: not needed, but questions in words are understood better with it."""
    from nearcode.embedding.profiles import profile
    from nearcode.stores import Stores

    chat, name = settings.embedding.chat, "chat model"
    if chat.enabled == "off":
        return Check(name, "switched off", "", True)
    stores = Stores(settings, ())
    found = chat.url or stores.model_folder(chat.profile)
    if not found and chat.enabled == "auto":
        advice = f"questions in words find more with it: nearcode models pull {chat.profile}"
        return Check(name, "not here", "", True, advice)
    if not (find_spec("numpy") and find_spec("tritonclient" if chat.url else "onnxruntime")):
        return Check(name, str(found or ""), chat.profile, False, _ENGINE)
    try:
        async with asyncio.timeout(_SECONDS):
            await (await stores.open_model(profile(chat.profile))).embed_query("is it there", {})
    except (NearcodeError, TimeoutError) as error:
        return Check(name, str(found or ""), chat.profile, False, str(error) or f"no answer in {_SECONDS:.0f} s")
    finally:
        await stores.close_models()
    return Check(name, str(found), chat.profile, True)


async def _engine(settings: Settings) -> Check:
    """Whether an engine answers: the running one, or one started for this question."""
    try:
        async with asyncio.timeout(_SECONDS), client(settings) as engine:
            statuses = await engine.repositories.list_repositories(engine.user)
            found = "running" if engine.running else "starts on demand"
            return Check("engine", found, f"{len(statuses)} repositories", True, _anew(statuses))
    except (NearcodeError, TimeoutError) as error:
        text = str(error) or f"no answer in {_SECONDS:.0f} s"
        return Check("engine", "", "", False, f"{text}; see `nearcode logs`")


def _anew(statuses: Sequence[RepositoryStatus]) -> str:
    """What is told while repositories are indexed anew for this version, which only a running engine finishes."""
    anew = sum(status.anew for status in statuses)
    return f"{anew} of them are indexed anew: leave `nearcode run` on until `nearcode status` says ready" if anew else ""


async def _language_model(settings: Settings) -> Check:
    if not find_spec("aiohttp"):
        return Check("language model", "", "", False, _ENGINE)
    from nearcode.stores import Stores

    stores, found = Stores(settings, ()), settings.generation.url or "embedded"
    better = "small: for better answers set NEARCODE_GENERATION__URL and __MODEL to an OpenAI-compatible server"
    try:
        async with asyncio.timeout(_SECONDS):
            model = await (await stores.language_model()).served()
    except (NearcodeError, TimeoutError) as error:
        return Check("language model", found, "", False, str(error) or "no answer")
    finally:
        await stores.close_models()
    return Check("language model", found, model.name, True, "" if settings.generation.url else better)
