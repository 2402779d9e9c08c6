"""The real operator as a process of the test's, with a settings file as the chart writes it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import yaml
from nearcode.runtime.child import leashed

from tests.k8s.kube import Object
from tests.k8s.pods import UNTOUCHED
from tests.kubernetes.programs import helm

CHART = Path(__file__).parents[2] / "charts/nearcode"
OPERATOR = [sys.executable, "-m", "nearcode_operator", "run"]


@dataclass
class OperatorProcess:
    """`nearcode-operator run`, which can be killed and started again."""

    environment: Mapping[str, str]
    log: Path
    command: list[str] = field(default_factory=lambda: list(OPERATOR))
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Does not wait: what it does shows in the cluster."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(leashed(self.command), env=dict(self.environment), stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In good order."""
        if self.process and self.running:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def output(self, seconds: float) -> "subprocess.CompletedProcess[str]":
        """Runs one that is expected to end by itself."""
        environment = dict(self.environment)
        return subprocess.run(self.command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)

    @property
    def running(self) -> bool:
        """Whether it does."""
        return self.process is not None and self.process.poll() is None

    @property
    def memory(self) -> int:
        """Resident bytes."""
        assert self.process
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def processor_seconds(self) -> float:
        """User and system."""
        assert self.process
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def tail(self) -> str:
        """The end of what it logged."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def job_template(annotations: Mapping[str, str] = UNTOUCHED) -> Object:
    """What the chart gives the operator for its Jobs, with the annotations that tell the fake node what to do, and without the
    disk that it does not claim to have."""
    template: Object = yaml.safe_load(_charts_job())
    del template["spec"]["template"]["spec"]["containers"][0]["resources"]
    metadata = template["spec"]["template"]["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), **annotations}
    return template


@cache
def _charts_job() -> str:
    command = [str(helm()), "template", "nearcode", str(CHART), "--set", "profile=production"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    maps = [one["data"] for one in yaml.safe_load_all(rendered) if one and one["kind"] == "ConfigMap"]
    return str(next(data["job.yaml"] for data in maps if "job.yaml" in data))


def operator_settings(
    folder: Path, namespace: str, address: str, token: Path, settings: Mapping[str, Any], template: Object | None
) -> Path:
    """Writes operator.toml, and job.yaml beside it."""
    values: dict[str, Any] = {"namespace": namespace, "home": str(folder / "operator")}
    values["engine"] = {"address": address, "token_file": str(token)}
    values |= {name: dict(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
    if template is not None:
        (folder / "job.yaml").write_text(yaml.safe_dump(template))
        values["jobs"] = {**values.get("jobs", {}), "enabled": True, "template_file": str(folder / "job.yaml")}
    file = folder / "operator.toml"
    file.write_text("\n".join(_toml(values)) + "\n")
    return file


def _toml(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{name} = {json.dumps(value)}"
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"[{path}{name}]"
            yield from _toml(value, f"{path}{name}.")
