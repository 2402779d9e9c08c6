"""What helm makes of the chart: objects, pods, and the files inside them."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.programs import helm

CHART = Path(__file__).parents[2] / "charts" / "nearcode"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
Object = dict[str, Any]

EXTERNAL: Mapping[str, Any] = {
    "profile": "production",
    "nats": {"enabled": False},
    "externalNats": {
        "url": "tls://nats.nats:4222",
        "monitorUrl": "https://nats.nats:8222",
        "existingSecret": "their-token",
        "caSecret": "their-ca",
    },
    "qdrant": {"enabled": False},
    "externalQdrant": {"url": "https://qdrant.qdrant:6333", "existingSecret": "their-key", "caSecret": "their-ca"},
}
VARIATIONS: Mapping[str, Mapping[str, Any]] = {
    "embedded": {},
    "embedded, nothing kept": {"persistence": {"enabled": False}},
    "embedded, a model server": {"settings": {"generation": {"url": "https://models.example.com:8000/v1"}}},
    "production": {"profile": "production"},
    "production, one of each": {"profile": "production", "servers": 1},
    "production, servers of others": EXTERNAL,
    "production, secrets of others": {
        "profile": "production",
        "tls": {"existingSecret": "our-tls"},
        "token": {"existingSecret": "our-token"},
        "nats": {"auth": {"existingSecret": "our-nats"}},
        "qdrant": {"apiKey": {"existingSecret": "our-key"}},
        "secretFiles": {"llm-key": {"secret": "our-llm", "key": "key"}},
        "operator": {"credentialSecrets": ["code-host"]},
    },
    "production, HPA": {
        "profile": "production",
        "autoscaling": {"by": "hpa"},
        "services": {"gateway": {"autoscaling": {"min": 2, "max": 6, "cpuPercent": 60}}},
    },
    "production, Triton on processors": {"profile": "production", "triton": {"enabled": True}},
    "production, Triton on GPUs": {"profile": "production", "triton": {"enabled": True, "gpus": 1, "replicas": 2}},
    "production, OpenShift": {"profile": "production", "openshift": True},
    "production, watched": {
        "profile": "production",
        "serviceMonitor": {"enabled": True},
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}]},
        "settings": {"telemetry": {"spans": "otlp", "otlp_endpoint": "https://otel.example.com:4317"}},
    },
    "production, no tests, no operator's scaling": {
        "profile": "production",
        "tests": {"enabled": False},
        "autoscaling": {"by": "none"},
    },
}


def template(values: Mapping[str, Any], *more: str, release: str = "nearcode") -> "subprocess.CompletedProcess[str]":
    """Runs `helm template`."""
    command = [str(helm()), "template", release, str(CHART), "--namespace", "code", "--values", "-", *more]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)


def refused(values: Mapping[str, Any]) -> str:
    """What helm says to values that it must not take."""
    done = template(values)
    assert done.returncode != 0, f"helm took {values}"
    return done.stderr


@dataclass(frozen=True)
class Pod:
    """A pod template, and the object that makes it."""

    owner: str
    metadata: Object
    spec: Object

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.metadata["labels"])

    @property
    def component(self) -> str:
        """What it is for."""
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Object]:
        """All of them, those that run before or beside included."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


class Rendered:
    """The objects of one rendering."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def kind(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        (found,) = [one for one in self.kind(kind) if one["metadata"]["name"] == name]
        return found

    def file(self, config: str, file: str) -> str:
        """A file in a ConfigMap."""
        return str(self.get("ConfigMap", config)["data"][file])

    @property
    def job(self) -> Object | None:
        """The Job that the operator fills in; none where it makes none."""
        for one in self.kind("ConfigMap"):
            if "job.yaml" in one.get("data", {}):
                return dict(yaml.safe_load(one["data"]["job.yaml"]))
        return None

    def pods(self) -> Iterator[Pod]:
        """Every pod that this rendering leads to: of workloads, hooks and indexing Jobs."""
        for one in self.objects:
            if one["kind"] in WORKLOADS:
                inner = one["spec"]["template"]
                yield Pod(f"{one['kind']} {one['metadata']['name']}", inner["metadata"], inner["spec"])
            elif one["kind"] == "Pod":
                yield Pod(f"Pod {one['metadata']['name']}", one["metadata"], one["spec"])
        if self.job:
            inner = self.job["spec"]["template"]
            yield Pod("job.yaml", inner["metadata"], inner["spec"])

    def secret(self, name: str, key: str) -> bytes:
        """What a Secret holds."""
        found = self.get("Secret", name)
        if key in found.get("stringData", {}):
            return str(found["stringData"][key]).encode()
        return base64.b64decode(found["data"][key])


def render(values: Mapping[str, Any] | None = None, *more: str, release: str = "nearcode") -> Rendered:
    """Renders the chart, in namespace `code`."""
    done = template(values or {}, *more, release=release)
    assert done.returncode == 0, done.stderr
    return Rendered([one for one in yaml.load_all(done.stdout, Loader=_Loader) if one])


@cache
def variation(name: str) -> Rendered:
    """One of VARIATIONS, rendered once. Do not change it."""
    return render(VARIATIONS[name])


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
