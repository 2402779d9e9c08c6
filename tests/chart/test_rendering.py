"""What helm makes of the chart is what Kubernetes takes, and what nearcode reads."""

import copy
import json
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nearcode import settings as engine_settings
from nearcode.domain.repository import repository_id
from nearcode.plaintext import refuse_plaintext
from nearcode_operator import operation, resources
from nearcode_operator import settings as operator_settings
from nearcode_operator.cluster import rights
from nearcode_operator.model import Key, Resource
from nearcode_operator.resources import SCHEMA, schema_of

from tests.chart.rendering import CHART, VARIATIONS, Object, Rendered, render, variation

MINORS = sorted(
    {one.rpartition(".")[0] for one in kubernetes_validate.utils.all_versions()}, key=lambda one: int(one.split(".")[1])
)[-3:]
OTHERS = ("Repository", "ServiceMonitor", "CustomResourceDefinition")
"""Kinds that have no published schema here; our own is looked at below."""
NAMED_BY_USERS = {"our-tls", "our-token", "our-nats", "our-key", "our-llm", "their-token", "their-ca", "their-key"}


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("name", VARIATIONS)
def test_kubernetes_takes_every_object(name: str, minor: str) -> None:
    rendered = variation(name)
    objects = [one for one in rendered.objects if one["kind"] not in OTHERS]
    if rendered.job:
        objects.append(_filled_in(rendered.job))
    for one in _without_secrets(Rendered(objects)):
        _validate(json.dumps(one, sort_keys=True), minor)


@cache
def _validate(text: str, minor: str) -> None:
    """Once for each different object: most are the same in all variations."""
    kubernetes_validate.validate(json.loads(text), minor, strict=True)


@pytest.fixture(autouse=True, scope="module")
def _read_schemas_once() -> Iterator[None]:
    """Each look would read 2 MB of definitions anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


def _filled_in(job: Object) -> Object:
    url = "https://git.example.com/shop"
    resource = Resource(Key("code", "shop"), "u-1", 1, "2026-01-01T00:00:00Z", url, ("main",))
    return resources.job(job, resource, repository_id(url, "main"), 3, 2)


def test_an_indexing_job_runs_the_engines_program_for_one_repository_and_generation() -> None:
    assert variation("embedded").job is None
    job = variation("production").job
    assert job is not None
    (container,) = _filled_in(job)["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["work", repository_id("https://git.example.com/shop", "main"), "--generation", "3"]
    assert "command" not in container


@pytest.mark.parametrize("name", VARIATIONS)
def test_the_engine_takes_its_settings_and_needs_no_plaintext(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "nearcode.toml"
    file.write_text(variation(name).file("nearcode-settings", "nearcode.toml"))
    loaded = engine_settings.load(file)
    refuse_plaintext(loaded)
    assert (loaded.events.bulk, loaded.gateway.connect) == ((True, True) if name.startswith("embedded") else (False, False))


@pytest.mark.parametrize("name", VARIATIONS)
def test_the_operator_takes_its_settings_and_has_exactly_the_rights_that_they_need(name: str, tmp_path: Path) -> None:
    rendered = variation(name)
    file = tmp_path / "operator.toml"
    file.write_text(rendered.file("nearcode-operator", "operator.toml"))
    loaded = operator_settings.load(file)
    if loaded.jobs.enabled:
        (tmp_path / "job.yaml").write_text(rendered.file("nearcode-operator", "job.yaml"))
        assert loaded.jobs.template_file == Path("/etc/nearcode-operator/job.yaml")
        operation.template(loaded.jobs.model_copy(update={"template_file": tmp_path / "job.yaml"}))
    wanted = {(right.group, right.resource, verb) for right in rights(loaded) for verb in right.verbs}
    if loaded.jobs.enabled:
        wanted.add(("nearcode.dev", "repositories/finalizers", "update"))
    assert _granted(rendered.get("Role", "nearcode-operator")) == wanted
    assert _granted(rendered.get("ClusterRole", "code-nearcode-operator")) == {
        ("apiextensions.k8s.io", "customresourcedefinitions", "get")
    }


def _granted(role: Object) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_writes_one_secret_and_reads_those_that_it_may() -> None:
    for name, readable in (("production", None), ("production, secrets of others", ["code-host", "nearcode-credentials"])):
        rules = [rule for rule in variation(name).get("Role", "nearcode-operator")["rules"] if rule["resources"] == ["secrets"]]
        assert {rule["verbs"][0]: rule.get("resourceNames") for rule in rules} == {
            "get": readable,
            "patch": ["nearcode-credentials"],
        }
    assert "stringData" not in variation("production").get("Secret", "nearcode-credentials"), "an upgrade would empty it"


@pytest.mark.parametrize("name", VARIATIONS)
def test_what_a_pod_mounts_is_made_or_named_by_the_user(name: str) -> None:
    rendered = variation(name)
    made = {(kind, one["metadata"]["name"]) for kind in ("Secret", "ConfigMap") for one in rendered.kind(kind)}
    made |= {("Secret", one) for one in NAMED_BY_USERS} | {("ConfigMap", "kube-root-ca.crt")}
    for pod in rendered.pods():
        for kind, mounted, keys in _mounted(pod.spec):
            assert (kind, mounted) in made, f"{pod.owner} mounts {kind} {mounted}"
            if mounted not in NAMED_BY_USERS and keys:
                found = rendered.get(kind, mounted) if mounted != "kube-root-ca.crt" else {"data": {"ca.crt": ""}}
                assert keys <= {*found.get("data", {}), *found.get("stringData", {})}, f"{pod.owner}: {mounted}"


def _mounted(spec: Object) -> list[tuple[str, str, set[str]]]:
    found = []
    for volume in spec["volumes"]:
        for source in [volume, *volume.get("projected", {}).get("sources", ())]:
            for field, kind, name in (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")):
                if field in source:
                    reference = source[field]
                    keys = {item["key"] for item in reference.get("items", ())}
                    found.append((kind, reference.get(name) or reference["name"], keys))
    return found


@pytest.mark.parametrize("name", ["embedded", "production"])
def test_rendering_twice_differs_in_what_is_secret_alone(name: str) -> None:
    once, again = (_without_secrets(render(VARIATIONS[name])) for _ in range(2))
    assert once == again


def _without_secrets(rendered: Rendered) -> list[Object]:
    objects = copy.deepcopy(rendered.objects)
    for one in objects:
        if one["kind"] == "Secret":
            one.pop("stringData", None)
            one["metadata"].get("annotations", {}).pop("nearcode.dev/names", None)
    return objects


def test_a_secret_is_in_no_other_object() -> None:
    rendered = variation("production")
    secrets = [value for one in rendered.kind("Secret") for key, value in one.get("stringData", {}).items() if key != "ca.crt"]
    others = yaml.safe_dump([one for one in rendered.objects if one["kind"] != "Secret"])
    assert len(secrets) > 20
    assert not [value for value in secrets if value.strip() in others]


RELEASE_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?", fullmatch=True)


@settings(max_examples=12, deadline=None)
@given(release=RELEASE_NAMES)
@example(release="a" * 53)
@example(release="1st")
def test_names_fit_however_a_release_is_called(release: str) -> None:
    rendered = render({"profile": "production", "triton": {"enabled": True}}, release=release)
    for one in rendered.objects:
        name = one["metadata"]["name"]
        longest = 52 if one["kind"] == "StatefulSet" else 63  # Kubernetes adds a hash to it, in a label
        assert len(name) <= longest or one["kind"] in ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"), name
        if one["kind"] == "Service":
            assert name[0] in string.ascii_lowercase and "." not in name
        assert all(len(value) <= 63 for value in one["metadata"].get("labels", {}).values())


def test_two_releases_never_share_a_name() -> None:
    long = "a" * 44
    names = ["x", "y", "1x", "n1x", "a.b", "a-b", *(f"{long}{end}" for end in "xy")]
    made = [one["metadata"]["name"] for name in names for one in render({}, release=name).kind("StatefulSet")]
    assert len(set(made)) == len(names), made


def test_the_definition_is_upgraded_with_the_chart_and_stays_when_the_release_goes() -> None:
    (definition,) = variation("embedded").kind("CustomResourceDefinition")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert schema_of(definition) >= SCHEMA, "an operator of this version must be able to work with it"
    (going,) = render({"crds": {"keep": False}}).kind("CustomResourceDefinition")
    assert "helm.sh/resource-policy" not in going["metadata"]["annotations"]
    assert render({"crds": {"enabled": False}}).kind("CustomResourceDefinition") == []


def repository_schema() -> Any:
    """What a Repository may be, as far as JSON schemas can say."""
    file = CHART / "files" / "crds" / "repositories.nearcode.dev.yaml"
    return yaml.safe_load(file.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_the_sample_repository_is_one_that_the_definition_takes() -> None:
    (repository,) = variation("production").kind("Repository")
    jsonschema.validate(repository, repository_schema())


def test_copies_follow_from_the_servers(tmp_path: Path) -> None:
    file = tmp_path / "nearcode.toml"
    for servers, copies, needed in ((1, 1, 1), (3, 3, 2), (5, 3, 2)):
        rendered = render({"profile": "production", "servers": servers})
        file.write_text(rendered.file("nearcode-settings", "nearcode.toml"))
        loaded = engine_settings.load(file)
        assert (loaded.events.replicas, loaded.events.url.count("tls://")) == (servers, servers)
        assert (loaded.index.replicas, loaded.index.write_consistency) == (copies, needed)
        assert (
            loaded.index.url.count("https://") == servers == rendered.get("StatefulSet", "nearcode-qdrant")["spec"]["replicas"]
        )
    mixed = render({"profile": "production", "qdrant": {"replicaCount": 2}, "nats": {"config": {"cluster": {"replicas": 1}}}})
    assert mixed.get("StatefulSet", "nearcode-nats")["spec"]["replicas"] == 1
    assert mixed.get("StatefulSet", "nearcode-qdrant")["spec"]["replicas"] == 2
