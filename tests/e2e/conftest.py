"""One engine a shape for the whole session, with the shop indexed in it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.shop import write_shop
from tests.engines import Engine, one_process, process_per_service

SHAPES: dict[str, Callable[[Path], AbstractContextManager[Engine]]] = {
    "one process": one_process,
    "one process per service": process_per_service,
}


@pytest.fixture(scope="session", params=SHAPES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A running engine, in both shapes."""
    with SHAPES[request.param](tmp_path_factory.mktemp("home")) as engine:
        yield engine


@pytest.fixture(scope="session")
def shop(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, indexed."""
    folder = write_shop(tmp_path_factory.mktemp("shop"))
    engine.command("index", str(folder))
    return folder
