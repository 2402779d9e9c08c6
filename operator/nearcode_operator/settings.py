"""Settings of the operator: what it watches, where the engine is, how much it may start. Usually one file, operator.toml."""

from collections.abc import Mapping
from pathlib import Path

from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.runtime import settings_file
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.settings import Branch
from nearcode.telemetry.settings import TelemetrySettings
from pydantic import Field, model_validator

_PREFIX = "NEARCODE_OPERATOR_"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes tells a pod its namespace."""


class EngineSettings(Branch):
    """Where the engine is."""

    address: str = ""
    """`host:port` or `unix:PATH` of ingestion, or of the process that runs all services."""
    token_file: Path | None = None
    """File with the engine's token. Empty: none is sent, as to a Unix socket."""


class JobSettings(Branch):
    """Jobs that do first indexes and large backlogs."""

    enabled: bool = False
    """Whether there are Jobs. Off where the engine does this work itself (`events.bulk`)."""
    budget: int = Field(default=16, ge=0)
    """Pods of all Jobs together, at most. What is beyond it waits, by priority and age."""
    template_file: Path | None = None
    """The Job to fill in (YAML): its pod, labels and limits. The chart writes it. Needed when `enabled`."""
    messages_per_worker: int = Field(default=20, ge=1)
    """Waiting messages for which a Job gets one more pod. A message is a part of up to 64 KB: some seconds of work."""
    ttl_seconds: int | None = Field(default=None, ge=0)
    """How long a Job that ended can still be looked at. Not given: as the template says."""
    retry_seconds: float = Field(default=60.0, gt=0)
    """Pause before a failed Job is made anew."""

    @model_validator(mode="after")
    def _has_template(self) -> "JobSettings":
        if self.enabled and not self.template_file:
            raise ValueError("template_file is missing: name the file with the Job to fill in, or set enabled = false")
        return self


class WorkerSettings(Branch):
    """A standing Deployment that the operator scales."""

    deployment: str
    """Its name."""
    stages: tuple[str, ...]
    """Stages of work that it does, whose small and filling backlogs are added up: synced (chunking), cut (embedding)."""
    minimum: int = Field(default=1, ge=0)
    """Replicas when nothing waits."""
    maximum: int = Field(default=4, ge=1)
    """Replicas, at most."""
    per_replica: int = Field(default=20, ge=1)
    """Waiting messages for which it gets one more replica."""


class SweepSettings(Branch):
    """How often the operator compares what is with what should be."""

    busy_seconds: float = Field(default=2.0, gt=0)
    """Pause between two sweeps while something is being indexed."""
    idle_seconds: float = Field(default=15.0, gt=0)
    """Pause while everything is up to date: how late a change is seen that nobody tells. A change of a resource or of a Job is
    told at once."""
    at_once: int = Field(default=16, ge=1)
    """Calls to the engine and to Kubernetes that a sweep makes at once."""
    relist_seconds: float = Field(default=300.0, gt=0)
    """How often all resources are listed anew, in case the watch missed one."""
    retry_seconds: float = Field(default=5.0, gt=0)
    """First pause before the engine is asked again to fetch a repository that it could not fetch; it doubles with each failure,
    up to an hour. Kubernetes takes a minute or so to hand new credentials to the engine, and few troubles last longer."""


class OpsSettings(Branch):
    """The doors for operators."""

    listen: str = "127.0.0.1:0"
    """`host:port` of /metrics, /livez and /readyz: over HTTPS beyond loopback. Port 0: any free one. Empty: no such door."""
    probes: str = ""
    """`host:port` of a gRPC door that answers grpc.health.v1 and nothing else, without TLS, for the kubelet's probes. Empty:
    none."""


class OperatorSettings(Branch):
    """All settings of the operator."""

    namespace: str = ""
    """Namespace whose Repositories are followed. Empty: the pod's own."""
    engine: EngineSettings = EngineSettings()
    """The engine."""
    jobs: JobSettings = JobSettings()
    """Jobs for first indexes and large backlogs."""
    workers: dict[str, WorkerSettings] = Field(default_factory=dict)
    """Standing Deployments to scale, by any name. None: something else scales them, or nothing."""
    credentials_secret: str = ""
    """Secret that the operator writes with the credentials of all repositories, for the engine to mount. Empty: resources that
    name credentials get a condition instead."""
    sweep: SweepSettings = SweepSettings()
    """How often is compared."""
    home: Path = Path("/tmp/nearcode-operator")
    """Folder for a certificate of the operator's own where `tls.cert_file` is not given, and for traces."""
    tls: TlsSettings = TlsSettings()
    """Encryption to the engine and of the door for operators."""
    ops: OpsSettings = OpsSettings()
    """The doors for operators."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Traces and logs."""


def load(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> OperatorSettings:
    """Reads the settings: `file`, or the one that NEARCODE_OPERATOR_CONFIG names, then NEARCODE_OPERATOR_... of the
    environment. Raises InvalidRequest (INVALID_SETTING)."""
    return complete(settings_file.load(OperatorSettings, _PREFIX, file, overrides))


def complete(settings: OperatorSettings, namespace_file: Path = _NAMESPACE_FILE) -> OperatorSettings:
    """Fills in the pod's own namespace. Raises InvalidRequest (INVALID_SETTING)."""
    if not settings.engine.address:
        raise InvalidRequest(
            "setting engine.address is missing: name the engine, host:port of its ingestion", Reason.INVALID_SETTING
        )
    if settings.namespace:
        return settings
    try:
        namespace = namespace_file.read_text("utf-8").strip()
    except OSError as error:
        message = "setting namespace is missing, and this is no pod that could tell its own: name one (--namespace)"
        raise InvalidRequest(message, Reason.INVALID_SETTING, "namespace") from error
    return settings.model_copy(update={"namespace": namespace})
