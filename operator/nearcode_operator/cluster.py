"""The Kubernetes API: the only module that calls it, apart from Kopf's own watch and finalizer. RIGHTS is what both need."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import httpx2
from lightkube import AsyncClient
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.operators import exists
from lightkube.types import CascadeType, PatchType
from nearcode.domain.errors import (
    Conflict,
    InvalidRequest,
    NearcodeError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

from nearcode_operator.model import GROUP, KIND, PLURAL, VERSION, Key
from nearcode_operator.ports import Listing, Manifest
from nearcode_operator.resources import RELEASED_ANNOTATION, REPOSITORY_LABEL, schema_of
from nearcode_operator.settings import OperatorSettings

T = TypeVar("T")
Observe = Callable[[str, str, str], None]
"""Told each call: verb, resource, and the status code or `unreachable`."""

CRD_NAME = f"{PLURAL}.{GROUP}"


class Right(NamedTuple):
    """What a Role has to grant: verbs on a resource of an API group."""

    group: str
    resource: str
    verbs: tuple[str, ...]


_ALWAYS = (
    Right(GROUP, "repositories", ("get", "list", "watch", "patch")),
    Right(GROUP, "repositories/status", ("patch",)),
    Right("", "events", ("create",)),
)
_FOR_JOBS = (Right("batch", "jobs", ("list", "watch", "create", "patch", "delete")),)
_FOR_WORKERS = (Right("apps", "deployments/scale", ("get", "patch")),)
_FOR_CREDENTIALS = (Right("", "secrets", ("get", "patch")),)
"""Not `create`, which cannot be granted for one name: whoever may make Secrets may make one with the token of any account. The
chart makes the one that is written."""
RIGHTS = (*_ALWAYS, *_FOR_JOBS, *_FOR_WORKERS, *_FOR_CREDENTIALS)
"""All in the operator's own namespace. `nearcode-operator release` needs the first, and `delete` on repositories with --delete.
Where OwnerReferencesPermissionEnforcement is on, making Jobs also takes `update` on repositories/finalizers. Beyond the
namespace the operator would like to `get` the CustomResourceDefinition, to check its schema; refused, it goes on without."""


def rights(settings: OperatorSettings) -> tuple[Right, ...]:
    """Those of RIGHTS that these settings need."""
    needed = [*_ALWAYS]
    needed += _FOR_JOBS if settings.jobs.enabled else ()
    needed += _FOR_WORKERS if settings.workers else ()
    needed += _FOR_CREDENTIALS if settings.credentials_secret else ()
    return tuple(needed)


_SECONDS = 30.0
_PAGE = 500

_Repository: Any = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)
_Job: Any = create_namespaced_resource("batch", "v1", "Job", "jobs")
_Deployment: Any = create_namespaced_resource("apps", "v1", "Deployment", "deployments")
_Secret: Any = create_namespaced_resource("", "v1", "Secret", "secrets")
_Event: Any = create_namespaced_resource("", "v1", "Event", "events")
_Crd: Any = create_global_resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
_Review: Any = create_global_resource("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews")


class Cluster:
    """One namespace of a cluster (the ClusterApi). Raises the expected failures: Unavailable when the API server is away or
    busy, PermissionDenied with the right that is missing."""

    def __init__(self, client: AsyncClient, namespace: str, observe: Observe = lambda verb, resource, code: None) -> None:
        self._client: Any = client  # its overloads know no resources of somebody's own
        self._namespace, self._told = namespace, observe

    async def repositories(self) -> Listing:
        """All Repositories."""
        return await self._list(_Repository, "repositories")

    async def jobs(self) -> Listing:
        """Our indexing Jobs."""
        return await self._list(_Job, "jobs", {REPOSITORY_LABEL: exists()})

    async def create_job(self, manifest: Manifest) -> Manifest | None:
        """Makes a Job. None if there is one of this name."""
        try:
            return await self._create("jobs", _Job(manifest))
        except Conflict:
            return None

    async def scale_job(self, key: Key, parallelism: int) -> Manifest | None:
        """Changes how many pods a Job may have. None if it is gone."""
        return await self._patch(_Job, "jobs", key.name, {"spec": {"parallelism": parallelism}})

    async def delete_job(self, key: Key) -> None:
        """Deletes a Job with its pods. One that is gone is no error."""
        await self._delete(_Job, "jobs", key.name)

    async def replicas(self, deployment: str) -> int | None:
        """How many pods a Deployment wants; None if there is no such Deployment."""
        scale = await self._get(_Deployment.Scale, "deployments/scale", deployment)
        return None if scale is None else int(scale.spec.replicas or 0)

    async def scale_deployment(self, deployment: str, replicas: int) -> None:
        """Changes how many pods a Deployment wants. One that is gone is no error."""
        await self._patch(_Deployment.Scale, "deployments/scale", deployment, {"spec": {"replicas": replicas}})

    async def patch_status(self, key: Key, changes: Manifest) -> Manifest | None:
        """Merges `changes` into the status of a Repository. The resource as it is then; None if it is gone."""
        return await self._patch(_Repository.Status, "repositories/status", key.name, {"status": changes})

    async def let_go(self, key: Key, finalizers: list[str], moment: str, resource_version: str) -> Manifest | None:
        """Leaves these finalizers on a Repository that is still at this version, and writes down when. Raises Conflict if it
        is not."""
        annotations = {RELEASED_ANNOTATION: moment}
        metadata = {"finalizers": finalizers, "annotations": annotations, "resourceVersion": resource_version}
        return await self._patch(_Repository, "repositories", key.name, {"metadata": metadata})

    async def delete_repository(self, key: Key) -> None:
        """Deletes a Repository, as `kubectl delete` does. One that is gone is no error."""
        await self._delete(_Repository, "repositories", key.name)

    async def post_event(self, event: Manifest) -> None:
        """Tells an event. Its name makes it one: telling it twice changes nothing."""
        try:
            await self._create("events", _Event(event))
        except Conflict:
            return

    async def secret(self, name: str) -> Mapping[str, str] | None:
        """The values of a Secret, in base64; None if there is none."""
        found = await self._get(_Secret, "secrets", name)
        return None if found is None else dict(found.get("data") or {})

    async def write_secret(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Changes values of a Secret, in base64. None takes a value out. Raises NotFound if there is no such Secret."""
        if await self._patch(_Secret, "secrets", name, {"data": dict(changes)}) is None:
            raise NotFound(f"there is no Secret {name} to copy credentials to: `helm upgrade` makes it")

    async def schema(self) -> int:
        """The number of the Repositories' schema that is installed. Raises NotFound and PermissionDenied."""
        return schema_of(await self._call("get", "customresourcedefinitions", lambda: self._client.get(_Crd, CRD_NAME)))

    async def missing(self, needed: Sequence[Right]) -> list[str]:
        """Rights that this account lacks, in words. None are known to be missing where the cluster cannot tell."""
        review = _Review({"spec": {"namespace": self._namespace}})
        answer = await self._call("create", "selfsubjectrulesreviews", lambda: self._client.create(review))
        told = answer["status"]
        if told.get("incomplete"):
            return []
        lacking = ((right, [verb for verb in right.verbs if not _granted(told, right, verb)]) for right in needed)
        return [f"{' '.join(verbs)} {right.resource} ({right.group or 'core'})" for right, verbs in lacking if verbs]

    async def _list(self, kind: Any, resource: str, labels: Any = None) -> Listing:
        async def read() -> Listing:
            found = self._client.list(kind, namespace=self._namespace, chunk_size=_PAGE, labels=labels)
            return Listing([item async for item in found], found.resourceVersion)

        return await self._call("list", resource, read)

    async def _create(self, resource: str, made: Any) -> Manifest:
        return await self._call("create", resource, lambda: self._client.create(made, namespace=self._namespace))

    async def _get(self, kind: Any, resource: str, name: str) -> Any:
        try:
            return await self._call("get", resource, lambda: self._client.get(kind, name, namespace=self._namespace))
        except NotFound:
            return None

    async def _patch(self, kind: Any, resource: str, name: str, changes: Manifest) -> Manifest | None:
        async def patch() -> Manifest:
            changed: Manifest = await self._client.patch(
                kind, name, dict(changes), namespace=self._namespace, patch_type=PatchType.MERGE
            )
            return changed

        try:
            return await self._call("patch", resource, patch)
        except NotFound:
            return None

    async def _delete(self, kind: Any, resource: str, name: str) -> None:
        async def delete() -> None:
            await self._client.delete(kind, name, namespace=self._namespace, cascade=CascadeType.BACKGROUND)

        try:
            await self._call("delete", resource, delete)
        except NotFound:
            return

    async def _call(self, verb: str, resource: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await call()
        except httpx2.HTTPStatusError as error:
            code = error.response.status_code
            self._told(verb, resource, str(code))
            raise meaning(code, _words(error.response), f"{verb} {resource} in namespace {self._namespace}") from error
        except (httpx2.HTTPError, ConfigError) as error:
            self._told(verb, resource, "unreachable")
            raise Unavailable(f"the Kubernetes API does not answer: {error or type(error).__name__}") from error
        self._told(verb, resource, "200")
        return answer


def _granted(told: Manifest, right: Right, verb: str) -> bool:
    def holds(rule: Manifest, field: str, value: str) -> bool:
        return bool({"*", value} & set(rule.get(field) or ()))

    asked = (("verbs", verb), ("apiGroups", right.group), ("resources", right.resource))
    # A rule for single names counts: which names are needed is known only later.
    return any(all(holds(rule, *one) for one in asked) for rule in told.get("resourceRules") or ())


_KINDS: dict[int, type[NearcodeError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    422: InvalidRequest,
}


def meaning(code: int, text: str, asked: str) -> NearcodeError:
    """The expected failure that an answer of the API server stands for."""
    kind = _KINDS.get(code, Unavailable)
    cure = ". Grant it to the operator's service account, or lift what forbids it" if kind is PermissionDenied else ""
    return kind(f"Kubernetes could not {asked}: {text} ({code}){cure}")


def _words(answer: httpx2.Response) -> str:
    """What the API server says; whoever answers in its place may say anything."""
    try:
        return str(answer.json()["message"])
    except (ValueError, TypeError, KeyError):
        return answer.reason_phrase


@asynccontextmanager
async def connected(namespace: str, observe: Observe) -> AsyncIterator[Cluster]:
    """The cluster of this pod, or of the kubeconfig that KUBECONFIG names. Raises InvalidRequest when there is neither."""
    try:
        config = KubeConfig.from_env().get()
    except (ConfigError, OSError) as error:
        message = f"no Kubernetes to talk to: {error}. Run in a pod with a service account, or set KUBECONFIG"
        raise InvalidRequest(message) from error
    client = AsyncClient(config, namespace=namespace, timeout=httpx2.Timeout(_SECONDS), field_manager="nearcode-operator")
    try:
        yield Cluster(client, namespace, observe)
    finally:
        await client.close()
