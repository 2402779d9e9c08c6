"""The settings of a process: defaults, then one TOML file, then the environment, then the command line.

`NEARCODE_RETRIEVAL__LIMIT=5` in the environment is `limit = 5` below `[retrieval]` in the file.
Nobody else reads the environment.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import BaseModel, Field, ValidationError

from nearcode.chunking.settings import ChunkingSettings
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.embedding.settings import EmbeddingSettings
from nearcode.gateway.settings import GatewaySettings
from nearcode.generation.settings import GenerationSettings
from nearcode.ingestion.settings import IngestionSettings
from nearcode.retrieval.settings import RetrievalSettings
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.settings import Branch
from nearcode.telemetry.settings import TelemetrySettings

_PREFIX = "NEARCODE_"
_NOT_SETTINGS = frozenset({"NEARCODE_PARENT_PID", "NEARCODE_CONFIG"})


class EventsSettings(Branch):
    """Settings of the event broker."""

    url: str = ""
    """`nats://HOST:PORT` of a NATS server with JetStream, or of several servers of one cluster, separated by commas. Empty:
    this process runs one of its own below its home."""
    monitor_url: str = ""
    """`http://HOST:8222`, the monitoring doors of all servers behind `url`, separated by commas. They are asked at every start
    whether each server runs with `sync_interval: always`: nothing else says so, and without it a power cut loses messages that
    were acknowledged. Needed with `url`."""
    unsafe_sync: bool = False
    """Start without that knowledge. What is lost then: at a power cut, acknowledged messages of the last two minutes (a
    simulated one lost 65 to 83 %); repositories stay behind until they are indexed again. Every start logs a warning."""
    replicas: int = Field(default=1, ge=1, le=5)
    """Servers that keep each stream, bucket and object. 3 for a cluster of three, which then bears the loss of one. Raised in
    place where there are fewer; never lowered."""
    bulk: bool = True
    """Also work on first indexes and large backlogs. False where Jobs of their own do."""
    token_file: str = ""
    """File with the NATS server's token. Empty: none, or one in `url`."""
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities that vouch for `tls://` servers. Empty: those of `[tls]`."""
    cert_file: Path | None = None
    """Certificate (PEM) that is shown to servers that ask for one. Empty: that of `[tls]`."""
    key_file: Path | None = None
    """Private key (PEM) of `cert_file`."""
    allow_plaintext: bool = False
    """Connect to `nats://` servers beyond this machine. Everyone on the way then reads the token and what is indexed where.
    Every start logs a warning."""


class IndexSettings(Branch):
    """Settings of the chunk index."""

    url: str = ""
    """`http://HOST:PORT` of a Qdrant server (its gRPC port is `grpc_port`), or those of a cluster's nodes, separated by commas:
    a call that one node cannot answer goes to the next. Empty: an embedded Qdrant below the home folder."""
    grpc_port: int = 6334
    """Port of the Qdrant server's gRPC API."""
    api_key_file: str = ""
    """File with the Qdrant server's API key. Empty: none."""
    collection_prefix: str = "nearcode"
    """Collections are named after it, so that several installations can share a cluster."""
    replicas: int = Field(default=1, ge=1)
    """Copies of each point, on as many nodes. 3 on a cluster of three: one node can be lost and none is missed."""
    write_consistency: int = Field(default=1, ge=1)
    """Copies that must have a write before it is acknowledged. 2 of 3: a node that is lost right after takes nothing along."""
    shards: int = Field(default=1, ge=1)
    """Parts of a collection, fixed when it is made: it can later spread over as many nodes. docs/index-layout.md says when to
    take more than one."""
    ca_file: str = ""
    """Certificates (PEM) of the authorities that vouch for `https://` servers. Empty: those of `[tls]`, else the system's."""
    allow_plaintext: bool = False
    """Connect to `http://` servers beyond this machine. Everyone on the way then reads code and the API key. Every start logs a
    warning."""


class OpsSettings(Branch):
    """Settings of the door for operators."""

    listen: str = "127.0.0.1:0"
    """`host:port` of /metrics, /livez and /readyz: over HTTPS beyond loopback and where `tls.cert_file` is given, else HTTP.
    Port 0: any free one. Empty: no such door."""
    repository_labels: int = Field(default=200, ge=0)
    """Repositories with a label of their own in metrics; the others share the label `other`, which shows the worst of them.
    Each costs a few series, which Prometheus keeps as long as anything: 200 is what a person can look through."""
    refresh_seconds: float = Field(default=5.0, ge=0.0)
    """How old the queues and repositories in /metrics may be: they are asked for when somebody scrapes, at most this often."""


class Settings(Branch):
    """All settings: one branch per service and adapter."""

    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("nearcode", appauthor=False)))
    """Folder that holds everything nearcode keeps on this machine: events, index, caches, sockets. `NEARCODE_HOME` sets it."""
    log_dir: Path = Path()
    """Folder of log files. Default: `logs` in a home that was named, else the platform's log folder."""
    org: str = "local"
    """A token for the organization, part of every event's subject."""
    gateway: GatewaySettings = GatewaySettings()
    """The service that IDEs call."""
    ingestion: IngestionSettings = IngestionSettings()
    """Repositories to revisions."""
    chunking: ChunkingSettings = ChunkingSettings()
    """Files to chunks."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    """Chunks to vectors."""
    retrieval: RetrievalSettings = RetrievalSettings()
    """Questions to ranked snippets."""
    generation: GenerationSettings = GenerationSettings()
    """Context to code and answers."""
    events: EventsSettings = EventsSettings()
    """The event broker."""
    index: IndexSettings = IndexSettings()
    """The chunk index."""
    tls: TlsSettings = TlsSettings()
    """Encryption between processes: who is trusted, what is shown. docs/operations.md shows it in use."""
    ops: OpsSettings = OpsSettings()
    """The door for operators."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Traces and logs."""


def load(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Reads the settings. Raises InvalidRequest naming the key, where it came from and what was probably meant."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    named = file or (Path(os.environ["NEARCODE_CONFIG"]) if "NEARCODE_CONFIG" in os.environ else None)  # noqa: TID251
    if named:
        _merge(values, _read(named), sources, str(named))
    for name, text in sorted(os.environ.items()):  # noqa: TID251 - the one place
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS:
            path = name.removeprefix(_PREFIX).lower().split("__")
            _merge(values, _nested(path, text), sources, f"environment variable {name}")
    _merge(values, dict(overrides or {}), sources, "command line")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _explain(error, sources) from error
    return _complete(settings)


def dump(settings: Settings, diff: bool = False) -> str:
    """The settings as TOML: all of them, or only what differs from the defaults."""
    values = settings.model_dump(mode="json")
    if diff:
        values = _difference(values, _complete(Settings()).model_dump(mode="json"))
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += _table(key, value)
    return "\n".join(lines) + "\n"


def _complete(settings: Settings) -> Settings:
    """Fills in what depends on other settings."""
    home = settings.home.expanduser().absolute()
    log_dir = settings.log_dir
    if log_dir == Path():
        named = home != Path(platformdirs.user_data_dir("nearcode", appauthor=False))
        log_dir = home / "logs" if named else Path(platformdirs.user_log_dir("nearcode", appauthor=False))
    return settings.model_copy(update={"home": home, "log_dir": log_dir.expanduser().absolute()})


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidRequest(f"settings file {file} cannot be read: {error.strerror}", Reason.INVALID_SETTING) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"settings file {file} is not TOML: {error}", Reason.INVALID_SETTING) from error


def _nested(path: list[str], value: object) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)  # type: ignore[call-overload, no-any-return]


def _merge(into: dict[str, Any], values: Mapping[str, Any], sources: dict[str, str], source: str, path: str = "") -> None:
    for key, value in values.items():
        where = f"{path}.{key}" if path else key
        sources[where] = source
        if isinstance(value, Mapping) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), value, sources, source, where)
        else:
            into[key] = value


def _explain(error: ValidationError, sources: Mapping[str, str]) -> InvalidRequest:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    where = next((sources[key[:end]] for end in range(len(key), 0, -1) if key[:end] in sources), "defaults")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys(location[:-1]), n=1)
        hint = f"; did you mean {'.'.join([*location[:-1], near[0]])}?" if near else ""
        return InvalidRequest(f"unknown setting {key} in {where}{hint}", Reason.INVALID_SETTING, key)
    return InvalidRequest(f"setting {key} in {where}: {first['msg']}", Reason.INVALID_SETTING, key)


def _keys(path: list[str]) -> list[str]:
    branch: type[BaseModel] = Settings
    for name in path:
        annotation = branch.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        branch = annotation
    return list(branch.model_fields)


def _difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    differing: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            if inner := _difference(value, defaults.get(key, {})):
                differing[key] = inner
        elif value != defaults.get(key):
            differing[key] = value
    return differing


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    lines = ["", f"[{name}]"]
    lines += [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict) and value is not None]
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += _table(f"{name}.{key}", value)
    return lines


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    text = str(value)
    # TOML's basic strings escape as JSON does, DEL apart, which no setting holds.
    import json

    return json.dumps(text, ensure_ascii=False)
