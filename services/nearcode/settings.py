"""The settings of a process: defaults, then one TOML file, then the environment, then the command line.

`NEARCODE_RETRIEVAL__LIMIT=5` in the environment is `limit = 5` below `[retrieval]` in the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field

from nearcode.chunking.settings import ChunkingSettings
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.embedding.settings import EmbeddingSettings
from nearcode.gateway.settings import GatewaySettings
from nearcode.generation.settings import GenerationSettings
from nearcode.ingestion.settings import IngestionSettings
from nearcode.retrieval.settings import RetrievalSettings
from nearcode.runtime import settings_file
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.settings import Branch
from nearcode.telemetry.settings import TelemetrySettings

_PREFIX = "NEARCODE_"
_OTHERS = ("NEARCODE_PARENT_PID", "NEARCODE_OPERATOR_")


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
    probes: str = ""
    """`host:port` that answers health probes over gRPC (grpc.health.v1: `readyz` or no name, and `livez`) and nothing else, in
    plaintext, because Kubernetes' gRPC probes speak nothing else. Empty: no such door."""
    repository_labels: int = Field(default=200, ge=0)
    """Repositories with a label of their own in metrics; the others share the label `other`, which shows the worst of them.
    Each costs a few series, which Prometheus keeps as long as anything: 200 is what a person can look through."""
    refresh_seconds: float = Field(default=5.0, ge=0.0)
    """How old the queues and repositories in /metrics may be: they are asked for when somebody scrapes, at most this often."""


class Settings(Branch):
    """All settings: one branch per service and adapter."""

    home: Path = Field(default_factory=lambda: _user_folder("data"))
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
    return _complete(settings_file.load(Settings, _PREFIX, file, overrides, _OTHERS))


def dump(settings: Settings, diff: bool = False) -> str:
    """The settings as TOML: all of them, or only what differs from the defaults."""
    if not diff:
        return settings_file.dump(settings)
    defaults = Settings() if _user_folder("data").is_absolute() else Settings(home=settings.home)
    return settings_file.dump(settings, _complete(defaults))


def _complete(settings: Settings) -> Settings:
    """Fills in what depends on other settings."""
    home = _absolute(settings.home)
    log_dir = settings.log_dir
    if log_dir == Path():
        log_dir = home / "logs" if home != _user_folder("data") else _user_folder("log")
    return settings.model_copy(update={"home": home, "log_dir": _absolute(log_dir)})


def _user_folder(kind: Literal["data", "log"]) -> Path:
    """The platform's folder; one that cannot be found for a user without a home, as in a container without /etc/passwd."""
    try:
        return Path((platformdirs.user_data_dir if kind == "data" else platformdirs.user_log_dir)("nearcode", appauthor=False))
    except RuntimeError:
        return Path("~") / "nearcode"


def _absolute(folder: Path) -> Path:
    try:
        return folder.expanduser().absolute()
    except RuntimeError as error:
        message = f"the folder {folder} is below a home folder, and this user has none: set NEARCODE_HOME to a folder"
        raise InvalidRequest(message, Reason.INVALID_SETTING, "home") from error
