"""Values: each is explained, wrong ones are refused in words, and what helm prints can be typed."""

import json
import re
import shlex
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml
from nearcode.cli.questions import search

from tests.chart.rendering import CHART, VARIATIONS, refused, render, template, variation
from tests.chart.test_rendering import repository_schema
from tests.kubernetes.programs import helm

DOCS = CHART.parents[1] / "docs" / "kubernetes.md"


def test_values_are_few_and_each_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 140
    assert undocumented(lines) == []
    assert undocumented([line for line in lines if "-- Seconds to finish" not in line]) == ["terminationGracePeriodSeconds"]


def undocumented(lines: list[str]) -> list[str]:
    """Keys with a value for which neither they nor a key above them have a comment `# -- `."""
    found: list[str] = []
    explained: list[tuple[int, bool]] = []
    comment = False
    for line in lines:
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if text.startswith("#"):
            comment = comment or text.startswith("# -- ")
            continue
        key = re.match(r"([A-Za-z0-9]+):(.*)", text)
        if key:
            explained = [one for one in explained if one[0] < depth]
            known = comment or any(told for _, told in explained)
            if key[2].strip() and not known:
                found.append(key[1])
            explained.append((depth, known))
        comment = False
    return found


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a profile that is none": ({"profile": "prod"}, "/profile': value must be one of 'embedded', 'production'"),
    "an unknown value": ({"gatewayy": {}}, "additional properties 'gatewayy' not allowed"),
    "an unknown field of a service": ({"services": {"gateway": {"replica": 2}}}, "additional properties 'replica' not allowed"),
    "text for a number": ({"services": {"gateway": {"replicas": "two"}}}, "replicas': got string, want integer"),
    "text for a switch": ({"persistence": {"enabled": "no"}}, "/persistence/enabled': got string, want boolean"),
    "two owners of the clones": ({"services": {"ingestion": {"replicas": 2}}}, "replicas': maximum: got 2, want 1"),
    "two servers": ({"servers": 2}, "/servers': value must be one of 1, 3, 5"),
    "a size without a unit": ({"qdrant": {"persistence": {"size": "20"}}}, "/qdrant/persistence/size': '20' does not match"),
    "a digest that is none": ({"image": {"digest": "abc"}}, "/image/digest': 'abc' does not match"),
    "a password in a URL's place": ({"externalNats": {"url": "nats.example.com"}}, "/externalNats/url': 'nats.example.com'"),
    "a secret that is no name": ({"tls": {"existingSecret": "Our TLS"}}, "/tls/existingSecret': 'Our TLS' does not match"),
    "no NATS at all": ({"profile": "production", "nats": {"enabled": False}}, "give externalNats.url"),
    "no Qdrant at all": ({"profile": "production", "qdrant": {"enabled": False}}, "give externalQdrant.url"),
    "who scales": ({"autoscaling": {"by": "keda"}}, "/autoscaling/by': value must be one of 'operator', 'hpa', 'none'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_refused_in_words(wrong: str) -> None:
    values, said = WRONG[wrong]
    assert said in refused(values)


def test_an_image_can_come_from_elsewhere_and_be_fixed_by_digest() -> None:
    digest = "sha256:" + "0" * 64
    rendered = render(
        {"global": {"imageRegistry": "registry.example.com", "imagePullSecrets": ["pull"]}, "image": {"digest": digest}}
    )
    for pod in rendered.pods():
        assert pod.spec["imagePullSecrets"] == [{"name": "pull"}]
        assert all(one["image"].startswith("registry.example.com/nearcode/") for one in pod.containers)
    (engine,) = (pod for pod in rendered.pods() if pod.component == "engine")
    assert engine.containers[0]["image"] == f"registry.example.com/nearcode/engine@{digest}"


def test_whatever_has_no_value_can_be_put_over() -> None:
    rendered = render({"services": {"engine": {"merge": {"spec": {"minReadySeconds": 7}}, "nodeSelector": {"disk": "fast"}}}})
    (engine,) = rendered.kind("StatefulSet")
    assert engine["spec"]["minReadySeconds"] == 7
    assert engine["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "fast"}


@pytest.mark.parametrize("profile", ["embedded", "production"])
def test_the_notes_print_a_repository_and_a_command_that_searches_it(profile: str) -> None:
    said = _notes(profile)
    manifest = said[said.index("apiVersion: nearcode.dev") : said.index("\nEOF")]
    repository = yaml.safe_load(manifest)
    jsonschema.validate(repository, repository_schema())
    (command,) = re.findall(r"kubectl exec .*?(?=\n\n)", said, re.DOTALL)
    words = shlex.split(command.replace("\\\n", ""))
    kind, _, name = next(word for word in words if "/" in word).partition("/")
    owner = variation(profile).get({"statefulset": "StatefulSet", "deployment": "Deployment"}[kind], name)
    containers = [one["name"] for one in owner["spec"]["template"]["spec"]["containers"]]
    assert "--container" not in words or words[words.index("--container") + 1] in containers
    assert "--container" in words or len(containers) == 1
    asked = words[words.index("--") + 1 :]
    assert asked[:2] == ["nearcode", "search"]
    assert search.make_context("search", asked[2:]).params["repo"] == repository["spec"]["url"]


def _notes(profile: str) -> str:
    """What helm prints after an installation."""
    command = [str(helm()), "install", "nearcode", str(CHART), "--namespace", "code", "--dry-run=client", "--values", "-"]
    text = json.dumps(VARIATIONS[profile])
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2] + "\n\n"


VALUES_IN_DOCS = re.findall(r"```yaml\n# values[^\n]*\n(.*?)```", DOCS.read_text() if DOCS.exists() else "", re.DOTALL)


def test_the_documents_values_are_taken() -> None:
    assert len(VALUES_IN_DOCS) >= 4
    for block in VALUES_IN_DOCS:
        done = template(yaml.safe_load(block))
        assert done.returncode == 0, f"{block}\n{done.stderr}"
