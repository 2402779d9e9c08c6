"""The program `nearcode-operator`."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from nearcode.domain import errors
from nearcode.domain.errors import NearcodeError

from nearcode_operator.settings import OperatorSettings, load

_CODES = {errors.InvalidRequest: 2, errors.NotFound: 3, errors.Unavailable: 4, errors.Conflict: 4}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nearcode-operator", prog_name="nearcode-operator")
@click.option(
    "--config", type=click.Path(path_type=Path), help="A TOML file of settings. Else NEARCODE_OPERATOR_CONFIG names it."
)
@click.option("--namespace", default="", help="Namespace whose Repositories are followed. Default: the pod's own.")
@click.pass_context
def operator(ctx: click.Context, config: Path | None, namespace: str) -> None:
    """Keep each Repository resource of a namespace indexed at its head.

    Exit codes: 0 ok, 1 failed or not allowed, 2 wrong settings or an old CRD, 4 Kubernetes does not answer.
    """
    ctx.obj = lambda: load(config, {"namespace": namespace} if namespace else None)


@operator.command()
@click.pass_obj
def run(settings: Callable[[], OperatorSettings]) -> None:
    """Work until SIGTERM."""
    from nearcode_operator import operation

    with _telemetry(made := settings()):
        asyncio.run(operation.run(made))


@operator.command()
@click.pass_obj
def check(settings: Callable[[], OperatorSettings]) -> None:
    """Look whether the settings, the CRD and the rights are as they must be, and change nothing."""
    from nearcode_operator import operation
    from nearcode_operator.cluster import Cluster

    made = settings()
    if made.jobs.enabled:
        operation.template(made.jobs)

    async def look(cluster: Cluster) -> None:
        await operation.check(cluster, made)

    _with_cluster(made, look)
    click.echo(f"the operator can work in namespace {made.namespace}")


@operator.command()
@click.option("--delete", is_flag=True, help="Delete all Repositories first, and wait for the operator to finalize them.")
@click.option("--wait", "patience", default=60.0, show_default=True, help="Seconds that --delete waits.")
@click.pass_obj
def release(settings: Callable[[], OperatorSettings], delete: bool, patience: float) -> None:
    """Take our finalizers off all Repositories of the namespace, so that nothing hangs when the operator is gone."""
    from nearcode_operator.cluster import Cluster
    from nearcode_operator.release import release as let_go

    async def work(cluster: Cluster) -> None:
        click.echo(f"released {await let_go(cluster, delete, patience)} Repositories")

    _with_cluster(settings(), work)


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    # Before gRPC loads: it would tell each failed handshake on stderr; what is wrong with it is told in our own words.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # noqa: TID251 - not a setting of ours
    try:
        operator.main(prog_name="nearcode-operator", standalone_mode=False)
    except NearcodeError as error:
        click.echo(f"nearcode-operator: {error.message}", err=True)
        sys.exit(next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _with_cluster(settings: OperatorSettings, work: Callable[..., Awaitable[None]]) -> None:
    from nearcode_operator.cluster import connected

    async def do() -> None:
        async with connected(settings.namespace, lambda verb, resource, code: None) as cluster:
            await work(cluster)

    with _telemetry(settings):
        asyncio.run(do())


@contextmanager
def _telemetry(settings: OperatorSettings) -> Iterator[None]:
    from nearcode.telemetry.setup import setup

    telemetry = setup(settings.telemetry, "nearcode-operator", settings.home)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells each call at INFO
    try:
        yield
    finally:
        telemetry.shutdown()


if __name__ == "__main__":
    main()
