"""Repository resources as they are written, and the objects that are made of them."""

from collections.abc import Mapping
from typing import Any

from nearcode.domain.errors import InvalidRequest
from nearcode_operator.model import Job, Resource

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


class InvalidSpec(InvalidRequest):
    """A spec that no one should act on. `problems` in words; `resource` holds what could be read: always key, uid, status."""

    def __init__(self, problems: tuple[str, ...], resource: Resource) -> None:
        super().__init__("; ".join(problems), field="spec")
        self.problems, self.resource = problems, resource


def parse(body: Mapping[str, Any]) -> Resource:
    """Reads a Repository resource; `url` comes in its one spelling. Raises InvalidSpec and nothing else, whatever the body:
    it may have passed another version's schema."""
    raise NotImplementedError


def schema_of(definition: Mapping[str, Any]) -> int:
    """The number of a CustomResourceDefinition's schema; 0 when it says none."""
    raise NotImplementedError


def job_name(name: str, repository: str, generation: int) -> str:
    """The name of an indexing Job: a DNS label of at most 63 characters, the same for the same build, whoever asks."""
    raise NotImplementedError


def job(
    template: Mapping[str, Any], resource: Resource, repository: str, generation: int, parallelism: int
) -> dict[str, Any]:
    """The manifest of an indexing Job. `template` is a whole Job, as the chart renders it; its first container gets the
    arguments `work REPOSITORY --generation N`, before those that it has."""
    raise NotImplementedError


def read_job(body: Mapping[str, Any]) -> Job | None:
    """A Job of the cluster as the operator knows it; None for one that is not ours."""
    raise NotImplementedError


def credentials(secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The data of the engine's Secret from those that resources refer to, both as the API has them (base64), by repository id."""
    raise NotImplementedError
