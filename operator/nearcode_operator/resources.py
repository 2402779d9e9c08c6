"""Repository resources as they are written, and the objects that are made of them."""

import base64
import copy
from collections.abc import Mapping
from typing import Any

from nearcode.domain.errors import InvalidRequest

from nearcode_operator.model import GROUP, KIND, VERSION, Job, Key, Resource
from nearcode_operator.specification import Specification

REPOSITORY_LABEL = "nearcode.dev/repository"
"""On Jobs and their pods: the engine's repository id."""
GENERATION_LABEL = "nearcode.dev/generation"
"""On Jobs and their pods: the engine's generation."""
RESOURCE_ANNOTATION = "nearcode.dev/resource"
"""On Jobs: namespace/name of the Repository resource. A label would be too short for some names."""
SCHEMA_ANNOTATION = "nearcode.dev/schema"
"""On the CustomResourceDefinition: the schema's number."""
SCHEMA = 1
"""The least schema that this operator needs."""
FINALIZER = "nearcode.dev/index"
RELEASED_ANNOTATION = "nearcode.dev/released"
"""On Repositories: when our finalizer was taken off for good. An operator that ran by then must not put it on again."""

_LABEL_LENGTH = 63
"""The most that a DNS label, and so the label `job-name`, may have."""


class InvalidSpec(InvalidRequest):
    """A spec that no one should act on. `problems` in words; `resource` holds what could be read: always key, uid, status."""

    def __init__(self, problems: tuple[str, ...], resource: Resource) -> None:
        super().__init__("; ".join(problems), field="spec")
        self.problems, self.resource = problems, resource


def parse(body: Mapping[str, Any]) -> Resource:
    """Reads a Repository resource; `url` comes in its one spelling. Raises InvalidSpec and nothing else, whatever the spec:
    it may have passed another version's schema. The resource in the error still owns its URL and branches, if they can be
    read, and names no branch if they cannot."""
    metadata, status, spec = body["metadata"], body.get("status"), Specification(body.get("spec"))
    resource = Resource(
        key=Key(metadata.get("namespace", ""), metadata["name"]),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp") or "",
        url=spec.url,
        branches=spec.branches if spec.url else (),
        policy=spec.policy,
        schedule=spec.schedule,
        credentials=spec.credentials,
        limits=spec.limits,
        priority=spec.priority,
        suspended=spec.suspended,
        deleting=bool(metadata.get("deletionTimestamp")),
        status=dict(status) if isinstance(status, Mapping) else {},
    )
    if spec.problems:
        raise InvalidSpec(tuple(spec.problems), resource)
    return resource


def schema_of(definition: Mapping[str, Any]) -> int:
    """The number of a CustomResourceDefinition's schema; 0 when it says none."""
    number = str((definition["metadata"].get("annotations") or {}).get(SCHEMA_ANNOTATION, ""))
    return int(number) if number.isascii() and number.isdigit() else 0


def job_name(name: str, repository: str, generation: int) -> str:
    """The name of an indexing Job: a DNS label of at most 63 characters, the same for the same build, whoever asks."""
    build = f"-{repository[1:9]}-g{generation}"
    return name.replace(".", "-")[: _LABEL_LENGTH - len(build)].rstrip("-") + build


def job(template: Mapping[str, Any], resource: Resource, repository: str, generation: int, parallelism: int) -> dict[str, Any]:
    """The manifest of an indexing Job. `template` is a whole Job, as the chart renders it; its first container gets the
    arguments `work REPOSITORY --generation N`, before those that it has. `completions` stays unset: a work queue."""
    manifest = copy.deepcopy(dict(template))
    labels = {REPOSITORY_LABEL: repository, GENERATION_LABEL: str(generation)}
    metadata, spec = manifest.setdefault("metadata", {}), manifest["spec"]
    pod_metadata = spec["template"].setdefault("metadata", {})
    container = spec["template"]["spec"]["containers"][0]
    metadata |= {
        "name": job_name(resource.key.name, repository, generation),
        "namespace": resource.key.namespace,
        "labels": (metadata.get("labels") or {}) | labels,
        "annotations": (metadata.get("annotations") or {}) | {RESOURCE_ANNOTATION: str(resource.key)},
        "ownerReferences": [_owner(resource)],
    }
    pod_metadata["labels"] = (pod_metadata.get("labels") or {}) | labels
    container["args"] = ["work", repository, "--generation", str(generation), *(container.get("args") or [])]
    spec["parallelism"] = parallelism
    spec.pop("completions", None)
    return manifest


def _owner(resource: Resource) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": resource.key.name,
        "uid": resource.uid,
        "controller": True,
    }


def read_job(body: Mapping[str, Any]) -> Job | None:
    """A Job of the cluster as the operator knows it; None for one that is not ours."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    labels = metadata.get("labels") or {}
    generation = labels.get(GENERATION_LABEL, "")
    if REPOSITORY_LABEL not in labels or not (generation.isascii() and generation.isdigit()):
        return None
    ended = {one["type"] for one in status.get("conditions") or () if one.get("status") == "True"}
    return Job(
        key=Key(metadata.get("namespace", ""), metadata["name"]),
        repository=labels[REPOSITORY_LABEL],
        generation=int(generation),
        parallelism=spec.get("parallelism", 1),
        active=status.get("active") or 0,
        succeeded="Complete" in ended,
        failed="Failed" in ended,
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def credentials(secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The data of the engine's Secret, by repository id, from the data of those that resources refer to; both in base64, as
    the API has them. A value is what ingestion reads: `username:password`, or a token alone, whose user depends on the host."""
    return {repository: _shown(data) for repository, data in secrets.items()}


def _shown(data: Mapping[str, str]) -> str:
    values = {key: base64.b64decode(data.get(key, "")).strip() for key in ("username", "password", "token")}
    secret = values["password"] or values["token"]
    user = values["username"] or (b"x-access-token" if b":" in secret else b"")
    return base64.b64encode(b":".join(part for part in (user, secret) if part)).decode()
