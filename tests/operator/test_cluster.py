"""What the operator asks of the Kubernetes API, and what it makes of the answers."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import kmock
import pytest
from lightkube import AsyncClient
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster as KubeCluster
from lightkube.config.models import User
from nearcode.domain.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, Unauthenticated, Unavailable
from nearcode_operator.cluster import RIGHTS, Cluster, Right, rights
from nearcode_operator.model import Key
from nearcode_operator.release import release
from nearcode_operator.resources import FINALIZER
from nearcode_operator.settings import EngineSettings, OperatorSettings

REPOSITORIES, JOBS = "nearcode.dev/v1alpha1/repositories", "batch/v1/jobs"
SHOP = Key("code", "shop")


@pytest.fixture
def calls() -> Counter[str]:
    return Counter()


@pytest.fixture
async def cluster(kmock: kmock.KubernetesEmulator, calls: Counter[str]) -> AsyncIterator[Cluster]:
    for known in (REPOSITORIES, JOBS, "v1/secrets", "v1/events", "apps/v1/deployments"):
        kmock.resources[known] = kmock.ResourceInfo(namespaced=True)
    config = KubeConfig.from_one(cluster=KubeCluster(server=str(kmock.url)), user=User(token="sesame")).get()
    client = AsyncClient(config, namespace="code")

    def told(verb: str, resource: str, code: str) -> None:
        calls[f"{verb} {resource} {code}"] += 1

    yield Cluster(client, "code", told)
    await client.close()


def repository(name: str, *finalizers: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": "code", "resourceVersion": "7", "finalizers": list(finalizers)}
    return {"apiVersion": "nearcode.dev/v1alpha1", "kind": "Repository", "metadata": metadata, "spec": {}}


def last(server: kmock.KubernetesEmulator) -> Any:
    """The last request."""
    return server[-1]


async def test_everything_is_listed_in_the_namespace(kmock: kmock.KubernetesEmulator, cluster: Cluster) -> None:
    kmock.objects[REPOSITORIES, "code", "shop"] = repository("shop")
    kmock.objects[REPOSITORIES, "other", "elsewhere"] = repository("elsewhere")
    assert [one["metadata"]["name"] for one in (await cluster.repositories()).items] == ["shop"]


async def test_jobs_are_ours_alone(kmock: kmock.KubernetesEmulator, cluster: Cluster) -> None:
    await cluster.jobs()
    assert dict(last(kmock).params)["labelSelector"] == "nearcode.dev/repository"


async def test_a_job_is_made_once(cluster: Cluster, calls: Counter[str]) -> None:
    job = {"metadata": {"name": "shop-1"}, "spec": {"parallelism": 2}}
    made = await cluster.create_job(job)
    assert made and made["spec"]["parallelism"] == 2
    assert await cluster.create_job(job) is None
    assert calls == {"create jobs 200": 1, "create jobs 409": 1}


async def test_what_is_gone_is_no_error(cluster: Cluster) -> None:
    assert await cluster.scale_job(SHOP, 1) is None
    assert await cluster.patch_status(SHOP, {"commit": "c1"}) is None
    assert await cluster.replicas("nearcode-chunking") is None
    assert await cluster.secret("git") is None
    await cluster.delete_job(SHOP)


async def test_a_status_is_merged_on_its_subresource(kmock: kmock.KubernetesEmulator, cluster: Cluster) -> None:
    kmock.objects[REPOSITORIES, "code", "shop"] = repository("shop")
    await cluster.patch_status(SHOP, {"commit": "c1", "behindSince": None})
    asked = last(kmock)
    assert asked.url.path.endswith("/namespaces/code/repositories/shop/status")
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.data == {"status": {"commit": "c1", "behindSince": None}}


async def test_credentials_are_copied_to_a_secret_that_is_there(kmock: kmock.KubernetesEmulator, cluster: Cluster) -> None:
    with pytest.raises(NotFound, match="helm upgrade"):
        await cluster.write_secret("nearcode-credentials", {"r1": "c2VzYW1l"})
    kmock.objects["v1/secrets", "code", "nearcode-credentials"] = {"data": {"r2": "b2xk"}}
    await cluster.write_secret("nearcode-credentials", {"r1": "c2VzYW1l", "r2": None})
    assert await cluster.secret("nearcode-credentials") == {"r1": "c2VzYW1l"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (403, PermissionDenied),
        (404, NotFound),
        (409, Conflict),
        (422, InvalidRequest),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_each_refusal_is_one_of_the_expected_failures(
    kmock: kmock.KubernetesEmulator, cluster: Cluster, code: int, kind: type[Exception]
) -> None:
    status = {"kind": "Status", "apiVersion": "v1", "code": code, "message": "no", "status": "Failure"}
    kmock["/apis/nearcode.dev/v1alpha1/namespaces/code/repositories"] << code << status
    with pytest.raises(kind, match="no"):
        await cluster.repositories()


async def test_a_proxy_that_answers_in_html_is_told_so(kmock: kmock.KubernetesEmulator, cluster: Cluster) -> None:
    kmock["/apis/nearcode.dev/v1alpha1/namespaces/code/repositories"] << 502 << "<html>Bad Gateway</html>"
    with pytest.raises(Unavailable, match="Bad Gateway"):
        await cluster.repositories()


async def test_rights_that_are_missing_are_named(kmock: kmock.KubernetesEmulator, cluster: Cluster) -> None:
    rules = [
        {"apiGroups": ["nearcode.dev"], "resources": ["*"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"], "resourceNames": ["git"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list", "watch", "create", "patch"]},
    ]
    answer = {"kind": "SelfSubjectRulesReview", "metadata": {}, "status": {"incomplete": False, "resourceRules": rules}}
    kmock["post /apis/authorization.k8s.io/v1/selfsubjectrulesreviews"] << answer
    assert await cluster.missing(RIGHTS) == ["delete jobs (batch)", "get patch deployments/scale (apps)"]


def test_only_what_is_used_needs_a_right() -> None:
    engine = EngineSettings(address="engine:8443")
    resources = {right.resource for right in rights(OperatorSettings(engine=engine))}
    assert resources == {"repositories", "repositories/status", "events"}
    assert all(isinstance(right, Right) and "*" not in right.verbs for right in RIGHTS)


@pytest.mark.parametrize(("annotations", "schema"), [({"nearcode.dev/schema": "3"}, 3), ({}, 0)])
async def test_the_schema_is_the_number_on_the_definition(
    kmock: kmock.KubernetesEmulator, cluster: Cluster, annotations: dict[str, str], schema: int
) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/repositories.nearcode.dev"
    kmock[path] << {"kind": "CustomResourceDefinition", "metadata": {"name": "repositories", "annotations": annotations}}
    assert await cluster.schema() == schema


async def test_release_takes_off_our_finalizer_and_leaves_those_of_others(
    kmock: kmock.KubernetesEmulator, cluster: Cluster
) -> None:
    kmock.objects[REPOSITORIES, "code", "shop"] = repository("shop", FINALIZER, "example.com/audit")
    kmock.objects[REPOSITORIES, "code", "free"] = repository("free")
    assert await release(cluster, delete=False, patience=0) == 1
    assert kmock.objects[REPOSITORIES, "code", "shop"]["metadata"]["finalizers"] == ["example.com/audit"]
