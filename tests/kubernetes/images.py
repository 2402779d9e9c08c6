"""Images for the real node, laid out and named as the chart wants them: engine (with NATS in it), operator and Qdrant.

Python packages come from uv.lock, all else from this machine: its Python, its git, and the libraries that these load.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.kubernetes.image import Image, Layer, write
from tests.kubernetes.programs import caches, locked
from tests.kubernetes.python_files import HOME, Venv, git_files, libraries, python_files, system_files
from tests.servers import QDRANT_VERSION, qdrant_binary

CHART = Path(__file__).parents[2] / "charts" / "nearcode"
USER = "65532:65532"
COMPONENTS = ("engine", "operator", "qdrant")
OURS = ("nearcode", "nearcode_operator")
"""Packages that change with the source. They make a layer of their own, above the one of all others."""
UNUSED = ("*/__pycache__", "*/python3.*/test", "*/config-3.*", "*/idlelib", "*/tkinter", "*/ensurepip", "*/lib2to3")


def name(component: str) -> str:
    """The full reference of a component's image, which the chart's values have by default."""
    if component == "qdrant":
        return f"docker.io/qdrant/qdrant:v{QDRANT_VERSION}-unprivileged"
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    return f"docker.io/nearcode/{component}:{version}"


def build(components: Sequence[str] = COMPONENTS) -> list[Path]:
    """Archives of the images, newly written from what the checkout has now. Prints how long each took."""
    folder = caches() / "kubernetes-images"
    folder.mkdir(exist_ok=True)
    made = []
    with locked(folder / ".lock", "another run writes images"):
        for component in components:
            began = time.monotonic()
            out = folder / f"{component}.tar"
            write(_image(component, folder), out)
            size, seconds = out.stat().st_size / 1e6, time.monotonic() - began
            print(f"image of {component}: {size:.0f} MB in {seconds:.1f} s", file=sys.stderr, flush=True)
            made.append(out)
    return made


def _image(component: str, folder: Path) -> Image:
    if component == "engine":
        venv = Venv(folder / component, ["--package", "nearcode", "--extra", "engine"])
        return _python_image(component, venv, ["nearcode", "nats-server"], with_git=True)
    if component == "operator":
        venv = Venv(folder / component, ["--package", "nearcode-operator"])
        return _python_image(component, venv, ["nearcode-operator"], with_git=False)
    qdrant = qdrant_binary()
    layers = [Layer({**libraries([qdrant]), "/qdrant/qdrant": qdrant})]
    return Image(name(component), layers, ["/qdrant/qdrant"], USER, workdir="/qdrant")


def _python_image(component: str, venv: Venv, programs: Sequence[str], *, with_git: bool) -> Image:
    """The first of the programs is the entry point."""
    venv.sync()
    system = python_files(venv.folder.parent) | system_files(venv.folder.parent) | (git_files() if with_git else {})
    loaded = libraries([*system.values(), venv.packages], within=venv.folder)
    ours = [path for path in venv.packages.iterdir() if path.name.partition("-")[0] in OURS]
    inside = venv.packages_inside
    layers = [
        Layer(system | loaded, [*UNUSED, "/usr/local/lib/python3.*/site-packages/*"], folders=["/tmp", "/data"]),
        Layer({inside: venv.packages} | venv.frame(), [*UNUSED, *(f"{inside}/{path.name}" for path in ours)]),
        Layer({f"{inside}/{path.name}": path for path in ours} | venv.programs(programs), UNUSED),
    ]
    environment = {"PATH": f"{HOME}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/data", "PYTHONDONTWRITEBYTECODE": "1"}
    return Image(name(component), layers, [f"{HOME}/bin/{programs[0]}"], USER, environment=environment)
