"""No pod of the chart may do more than it must, in whatever way the chart is installed."""

import copy
from collections.abc import Callable

import pytest

from tests.chart.policies import faults, quantity
from tests.chart.rendering import VARIATIONS, Object, Pod, render, variation


@pytest.mark.parametrize("name", VARIATIONS)
def test_every_pod_is_restricted_limited_and_probed(name: str) -> None:
    pods = list(variation(name).pods())
    assert len(pods) >= (2 if name.startswith("embedded") else 9)
    assert [fault for pod in pods for fault in faults(pod)] == []


def _first(pod: Pod) -> Object:
    return dict.__getitem__(pod.spec, "containers")[0]  # type: ignore[no-any-return]


PLANTED: dict[str, Callable[[Pod], object]] = {
    "may run as root": lambda pod: pod.spec["securityContext"].pop("runAsNonRoot"),
    "has no seccomp profile": lambda pod: pod.spec["securityContext"].pop("seccompProfile"),
    "has a fixed user": lambda pod: pod.spec["securityContext"].update(runAsUser=65532),
    "gets an account's token": lambda pod: pod.spec.pop("automountServiceAccountToken"),
    "gets variables that look like settings": lambda pod: pod.spec.pop("enableServiceLinks"),
    "has hostNetwork": lambda pod: pod.spec.update(hostNetwork=True),
    "has a volume of kind {'hostPath'}": lambda pod: pod.spec["volumes"].append({"name": "x", "hostPath": {}}),
    "has an emptyDir without a limit: x": lambda pod: pod.spec["volumes"].append({"name": "x", "emptyDir": {}}),
    "is evicted before its emptyDirs are full": lambda pod: pod.spec["volumes"].append(
        {"name": "x", "emptyDir": {"sizeLimit": "9Ti"}}
    ),
    "may gain privileges": lambda pod: _first(pod)["securityContext"].pop("allowPrivilegeEscalation"),
    "can write to its root": lambda pod: _first(pod)["securityContext"].pop("readOnlyRootFilesystem"),
    "keeps capabilities": lambda pod: _first(pod)["securityContext"].pop("capabilities"),
    "has no limits of memory": lambda pod: _first(pod)["resources"]["limits"].pop("memory"),
    "has no requests of ephemeral-storage": lambda pod: _first(pod)["resources"]["requests"].pop("ephemeral-storage"),
    "requests more cpu than its limit": lambda pod: _first(pod)["resources"]["requests"].update(cpu="99"),
    "has no livenessProbe": lambda pod: _first(pod).pop("livenessProbe"),
    "has a secret in its environment: X": lambda pod: _first(pod)["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    ),
    "has what looks like a secret in its environment: A_TOKEN": lambda pod: _first(pod)["env"].append(
        {"name": "A_TOKEN", "value": "sesame"}
    ),
    "mounts what is not there: {'x'}": lambda pod: _first(pod)["volumeMounts"].append({"name": "x"}),
    "has no fixed image: nearcode": lambda pod: _first(pod).update(image="nearcode"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str) -> None:
    (pod,) = (copy.deepcopy(pod) for pod in variation("embedded").pods() if pod.component == "engine")
    PLANTED[planted](pod)
    assert [fault for fault in faults(pod) if fault.endswith(planted)]


@pytest.mark.parametrize("name", [name for name in VARIATIONS if name.startswith("embedded")])
def test_the_embedded_profile_is_one_pod_within_four_processors_and_eight_gibibytes(name: str) -> None:
    rendered = variation(name)
    assert [len(rendered.kind(kind)) for kind in ("StatefulSet", "Deployment")] == [1, 0]
    (pod,) = (pod for pod in rendered.pods() if pod.component == "engine")
    limits = [container["resources"]["limits"] for container in pod.containers]
    assert sum(quantity(one["cpu"]) for one in limits) <= 4
    assert sum(quantity(one["memory"]) for one in limits) <= 8 * 2**30


@pytest.mark.parametrize("name", VARIATIONS)
def test_only_the_operator_can_call_the_api_server(name: str) -> None:
    for pod in variation(name).pods():
        tokens = {
            volume["name"]
            for volume in pod.spec["volumes"]
            if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ()))
        }
        holders = {
            container["name"]
            for container in pod.containers
            if tokens & {mount["name"] for mount in container.get("volumeMounts", ())}
        }
        assert holders <= {"operator", "release"}, pod.owner


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_disruption_budget_goes_with_several_pods_and_only_with_them(name: str) -> None:
    rendered = variation(name)
    several = set()
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"] for one in rendered.kind("HorizontalPodAutoscaler")
    }
    for one in [*rendered.kind("Deployment"), *rendered.kind("StatefulSet")]:
        if one["spec"].get("replicas", scaled.get(one["metadata"]["name"], 1)) > 1:
            several.add(one["metadata"]["name"])
    assert {one["metadata"]["name"] for one in rendered.kind("PodDisruptionBudget")} == several


def test_who_scales_sets_the_number_of_pods_and_helm_does_not() -> None:
    for by in ("operator", "hpa"):
        rendered = render({"profile": "production", "autoscaling": {"by": by}})
        for component in ("chunking", "embedding"):
            assert "replicas" not in rendered.get("Deployment", f"nearcode-{component}")["spec"]
        scaled = {one["spec"]["scaleTargetRef"]["name"] for one in rendered.kind("HorizontalPodAutoscaler")}
        assert scaled == ({"nearcode-chunking", "nearcode-embedding"} if by == "hpa" else set())
    assert (
        variation("production, no tests, no operator's scaling").get("Deployment", "nearcode-chunking")["spec"]["replicas"] == 1
    )


def test_openshift_chooses_user_and_groups() -> None:
    assert all("fsGroup" in pod.spec["securityContext"] for pod in variation("production").pods())
    assert not any("fsGroup" in pod.spec["securityContext"] for pod in variation("production, OpenShift").pods())
    asked = render({}, "--api-versions", "security.openshift.io/v1")
    assert not any("fsGroup" in pod.spec["securityContext"] for pod in asked.pods())


def test_a_triton_takes_gpus_only_where_they_are_asked_for() -> None:
    for name, gpus in (("production, Triton on processors", None), ("production, Triton on GPUs", 1)):
        (pod,) = (pod for pod in variation(name).pods() if pod.component == "triton")
        assert pod.containers[0]["resources"]["limits"].get("nvidia.com/gpu") == gpus
