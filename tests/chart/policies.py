"""What every pod must be: faults as text, none for a pod that is as it must be."""

import re
from collections.abc import Iterator

from tests.chart.rendering import Object, Pod

_UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SECRET = re.compile(r"token|password|secret|api_?key|private", re.IGNORECASE)
TASKS = frozenset({"release", "answers"})
"""Containers that end by themselves and answer nobody: they have no probes."""


def quantity(text: object) -> float:
    """The number that Kubernetes reads."""
    found = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text))
    assert found, text
    return float(found[1]) * _UNITS[found[2]]


def faults(pod: Pod) -> list[str]:
    """Everything that is wrong with a pod."""
    found = [f"{pod.owner}: {fault}" for fault in _of_pod(pod.spec)]
    for container in pod.containers:
        found += [f"{pod.owner}, {container['name']}: {fault}" for fault in _of_container(container, pod.spec)]
    return found


def _of_pod(spec: Object) -> Iterator[str]:
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True:
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if {"runAsUser", "runAsGroup"} & set(context):
        yield "has a fixed user"
    if spec.get("automountServiceAccountToken") is not False:
        yield "gets an account's token"
    if spec.get("enableServiceLinks") is not False:
        yield "gets variables that look like settings"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"has {field}"
    for volume in spec.get("volumes", ()):
        kinds = set(volume) - {"name"}
        if not kinds <= {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"}:
            yield f"has a volume of kind {kinds}"
        if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
            yield f"has an emptyDir without a limit: {volume['name']}"
    local = sum(quantity(volume["emptyDir"]["sizeLimit"]) for volume in _on_disk(spec))
    allowed = sum(quantity(one["resources"]["limits"].get("ephemeral-storage", 0)) for one in spec["containers"])
    if local > allowed:
        yield "is evicted before its emptyDirs are full"


def _on_disk(spec: Object) -> list[Object]:
    return [
        volume
        for volume in spec.get("volumes", ())
        if volume.get("emptyDir", {}).get("sizeLimit") and volume["emptyDir"].get("medium") != "Memory"
    ]


def _of_container(container: Object, spec: Object) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("privileged"):
        yield "is privileged"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "can write to its root"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if {"runAsUser", "runAsGroup"} & set(context):
        yield "has a fixed user"
    resources = container.get("resources", {})
    for side in ("requests", "limits"):
        for name in ("cpu", "memory", "ephemeral-storage"):
            if name not in resources.get(side, {}):
                yield f"has no {side} of {name}"
    for name, limit in resources.get("limits", {}).items():
        if quantity(resources.get("requests", {}).get(name, 0)) > quantity(limit):
            yield f"requests more {name} than its limit"
    sidecar = container.get("restartPolicy") == "Always"
    wanted = ["startupProbe"] if sidecar else ["startupProbe", "readinessProbe", "livenessProbe"]
    yield from (f"has no {probe}" for probe in wanted if probe not in container and container["name"] not in TASKS)
    yield from _of_environment(container)
    mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
    missing = mounted - {volume["name"] for volume in spec.get("volumes", ())} - {"data"}
    if missing:
        yield f"mounts what is not there: {missing}"
    if "latest" in container["image"] or ":" not in container["image"].rpartition("/")[2]:
        yield f"has no fixed image: {container['image']}"


def _of_environment(container: Object) -> Iterator[str]:
    for variable in container.get("env", ()):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"has a secret in its environment: {variable['name']}"
        if _SECRET.search(variable["name"]) and not variable["name"].endswith("_FILE"):
            yield f"has what looks like a secret in its environment: {variable['name']}"
    if container.get("envFrom"):
        yield "takes its environment from elsewhere"
