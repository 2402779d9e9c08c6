"""The operator's composition root: builds the parts from the settings, and runs them until the process is to end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import kopf
import yaml
from nearcode.api.ingestion.v1 import ingestion_pb2
from nearcode.auth.token import read_token
from nearcode.domain.errors import InvalidRequest, NotFound, PermissionDenied, Reason
from nearcode.runtime.channel import Client, connect
from nearcode.runtime.encryption import host_of
from nearcode.runtime.ending import end
from nearcode.runtime.health import Health
from nearcode.runtime.ops import OpsServer
from nearcode.runtime.probes import Probes
from nearcode.runtime.settings_file import dump
from nearcode.runtime.tls import Tls
from nearcode.telemetry.log import get_logger
from prometheus_client import CollectorRegistry

from nearcode_operator import handlers, resources
from nearcode_operator.cluster import CRD_NAME, Cluster, connected, rights
from nearcode_operator.convergence import Convergence, Parts
from nearcode_operator.credentials import Credentials
from nearcode_operator.engine import RemoteEngine
from nearcode_operator.errands import Errands
from nearcode_operator.indexing import IndexingJobs
from nearcode_operator.inventory import Inventory
from nearcode_operator.metrics import OperatorMetrics
from nearcode_operator.ports import Manifest
from nearcode_operator.repositories import read
from nearcode_operator.settings import JobSettings, OperatorSettings
from nearcode_operator.sweeping import Sweeping
from nearcode_operator.telling import Telling
from nearcode_operator.workers import StandingWorkers

log = get_logger(__name__)


async def run(settings: OperatorSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises InvalidRequest, PermissionDenied and Unavailable when it cannot begin."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        registry = CollectorRegistry()
        metrics = OperatorMetrics(registry)
        metrics.budget(settings.jobs.budget if settings.jobs.enabled else 0)
        cluster = await stack.enter_async_context(connected(settings.namespace, metrics.kubernetes_called))
        await check(cluster, settings)
        engine = await stack.enter_async_context(_engine(settings, metrics))
        health = Health()
        await stack.enter_async_context(_doors(settings, registry, health))
        await _operate(settings, cluster, engine, metrics, health, stop)


async def check(cluster: Cluster, settings: OperatorSettings) -> None:
    """Looks whether the operator could work here. Raises InvalidRequest, PermissionDenied and Unavailable with the cure."""
    schema = await _schema(cluster)
    if schema is not None and schema < resources.SCHEMA:
        raise InvalidRequest(
            f"CRD {CRD_NAME} has schema {schema}, and this operator needs {resources.SCHEMA}: `helm upgrade` with crds.enabled "
            f"or `kubectl apply --server-side -f charts/nearcode/files/crds/{CRD_NAME}.yaml` of this version",
            Reason.INVALID_SETTING,
        )
    missing = await cluster.missing(rights(settings))
    if missing:
        raise PermissionDenied(
            f"the operator's service account may not, in namespace {settings.namespace}: {'; '.join(missing)}. Grant it with a "
            "Role and a RoleBinding, as the chart does (rbac.create)"
        )


async def _schema(cluster: Cluster) -> int | None:
    """The number of the schema that is installed; 0: none. None where this account may not know."""
    try:
        return await cluster.schema()
    except NotFound:
        return 0
    except PermissionDenied:
        log.info("the schema of Repositories is not checked: this account may not read it", definition=CRD_NAME)
    try:
        await cluster.repositories()
    except NotFound:
        return 0
    except PermissionDenied:
        pass  # what is missing is told by name
    return None


async def _operate(
    settings: OperatorSettings,
    cluster: Cluster,
    engine: RemoteEngine,
    metrics: OperatorMetrics,
    health: Health,
    stop: asyncio.Event,
) -> None:
    """Sweeps and watches until `stop`, a signal, or until one of both ends by itself."""
    sweep = settings.sweep
    repositories = Inventory(cluster.repositories, read, sweep.relist_seconds)
    jobs = Inventory(cluster.jobs, resources.read_job, sweep.relist_seconds) if settings.jobs.enabled else None
    errands = Errands(sweep.at_once, sweep.retry_seconds, _now, lambda: sweeping.wake())
    indexing = IndexingJobs(cluster, jobs, template(settings.jobs), settings.jobs) if jobs else None
    workers = StandingWorkers(cluster, settings.workers)
    convergence = Convergence(
        engine,
        repositories,
        Parts(Credentials(cluster, settings.credentials_secret), workers, indexing),
        Telling(cluster, repositories, sweep.at_once, _now),
        errands,
        _now,
    )
    sweeping = Sweeping(convergence.sweep, sweep, _now, metrics.swept)
    health.add("sweeps", sweeping.healthy)
    await health.start()
    made = handlers.registry(repositories, jobs, sweeping.wake, convergence.finalize)
    watching = asyncio.create_task(_watch(settings.namespace, made, stop), name="watch")
    running = asyncio.create_task(sweeping.run(), name="sweeps")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait({watching, running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        health.drain()
        await end([running])
        stop.set()
        await errands.close()
        await asyncio.gather(watching, stopping, return_exceptions=True)
        await health.stop()
    for task in done:
        task.result()


async def _watch(namespace: str, registry: kopf.OperatorRegistry, stop: asyncio.Event) -> None:
    """Kopf, with our own way to end: it would also end what it did not begin."""
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry, settings=handlers.settings(), standalone=True, namespaces=[namespace], stop_flag=stop
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await kopf.run_tasks(tasks, ignored=others)


@asynccontextmanager
async def _engine(settings: OperatorSettings, metrics: OperatorMetrics) -> AsyncIterator[RemoteEngine]:
    token = read_token(settings.engine.token_file) if settings.engine.token_file else ""
    channel = connect(settings.engine.address, token, tls_of(settings))
    try:
        client = Client(channel, ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"])
        yield RemoteEngine(client, metrics.engine_called)
    finally:
        await channel.close()


@asynccontextmanager
async def _doors(settings: OperatorSettings, registry: CollectorRegistry, health: Health) -> AsyncIterator[None]:
    """Where others look whether it works."""
    ops, tls = settings.ops, tls_of(settings)
    async with AsyncExitStack() as stack:
        if ops.listen:
            context = tls.server_context() if tls.encrypts(ops.listen) else None

            def config(diff: bool) -> str:
                return dump(settings, OperatorSettings() if diff else None)

            server = OpsServer(ops.listen, registry, health, config, frozenset(settings.tls.names), context)
            await stack.enter_async_context(server)
            log.info("metrics", address=server.address)
        if ops.probes:
            await stack.enter_async_context(Probes(ops.probes, health))
        yield


def tls_of(settings: OperatorSettings) -> Tls:
    """What the operator trusts and shows."""
    return Tls(settings.tls, settings.home, (host_of(settings.ops.listen),) if settings.ops.listen else ())


def template(settings: JobSettings) -> Manifest:
    """The Job to fill in. Raises InvalidRequest (INVALID_SETTING)."""
    assert settings.template_file
    try:
        read_ = yaml.safe_load(settings.template_file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"setting jobs.template_file: {settings.template_file} cannot be read as YAML: {error}"
        raise InvalidRequest(message, Reason.INVALID_SETTING, "jobs.template_file") from error
    if not isinstance(read_, dict) or read_.get("kind") != "Job":
        message = f"setting jobs.template_file: {settings.template_file} holds no Job: let the chart write it"
        raise InvalidRequest(message, Reason.INVALID_SETTING, "jobs.template_file")
    if settings.ttl_seconds is not None:
        read_.setdefault("spec", {})["ttlSecondsAfterFinished"] = settings.ttl_seconds
    return read_


def _now() -> datetime:
    return datetime.now(UTC)
