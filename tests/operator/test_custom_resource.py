"""The definition of the custom resource: it is whole, and it says what the operator reads and writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from nearcode.domain.repository import Progress, RepositoryState
from nearcode_operator import model, resources, specification
from nearcode_operator.specification import Specification
from nearcode_operator.status import observed

from tests.operator.bodies import URL, engine, resource
from tests.operator.test_status import DEV, JOB, MAIN, NOW, seen

FILE = Path(__file__).parents[2] / "charts/nearcode/files/crds/repositories.nearcode.dev.yaml"
CRD: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
VERSION: dict[str, Any] = CRD["spec"]["versions"][0]
SCHEMA: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]
SPEC: dict[str, Any] = SCHEMA["properties"]["spec"]
FORMATS = {None, "int32", "int64", "date-time"}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if items := schema.get("items"):
        yield from nodes(items, f"{path}[]")


ALL = list(nodes(SCHEMA))


def test_kubernetes_takes_it_for_a_definition() -> None:
    for version in ("1.34", "1.35", "1.36"):
        kubernetes_validate.validate(CRD, version, strict=True)


def test_it_is_what_the_operator_watches() -> None:
    spec = CRD["spec"]
    assert (spec["group"], spec["names"]["plural"], spec["names"]["kind"], spec["scope"]) == (
        model.GROUP,
        model.PLURAL,
        model.KIND,
        "Namespaced",
    )
    assert (VERSION["name"], VERSION["subresources"]) == (model.VERSION, {"status": {}})
    assert CRD["metadata"]["name"] == f"{model.PLURAL}.{model.GROUP}" == FILE.stem
    assert resources.schema_of(CRD) >= resources.SCHEMA


def test_deleting_all_of_a_namespace_deletes_no_index() -> None:
    assert "all" not in CRD["spec"]["names"]["categories"]


@pytest.mark.parametrize(("path", "schema"), ALL, ids=[path or "." for path, _ in ALL])
def test_every_field_is_structural_and_described(path: str, schema: dict[str, Any]) -> None:
    assert schema.get("type") in {"object", "array", "string", "integer", "number", "boolean"} or (
        schema.get("x-kubernetes-int-or-string") and "type" not in schema
    )
    assert path == ".metadata" or schema["description"]
    assert schema.get("format") in FORMATS
    assert not schema.keys() & {"anyOf", "oneOf", "allOf", "not", "$ref", "x-kubernetes-preserve-unknown-fields"}
    if schema.get("type") == "array":
        assert "maxItems" in schema and "x-kubernetes-list-type" in schema
    if path.startswith(".spec") and schema.get("type") == "string":
        assert "maxLength" in schema or "enum" in schema


def test_every_rule_says_what_to_write() -> None:
    rules = [rule for _, schema in ALL for rule in schema.get("x-kubernetes-validations", ())]
    assert len(rules) >= 8
    assert all(len(rule["message"]) > 20 for rule in rules)


def test_no_rule_that_looks_for_passwords_stands_where_its_answer_would_repeat_one() -> None:
    for path, schema in ALL:
        for rule in schema.get("x-kubernetes-validations", ()):
            if "user name and password" in rule["message"] or "cannot be changed" in rule["message"]:
                assert (path, rule["fieldPath"]) == (".spec", ".url")


def test_defaults_and_bounds_are_the_operators() -> None:
    fields, read = SPEC["properties"], Specification({"url": URL})
    scaling = fields["scaling"]["properties"]
    assert tuple(fields["branches"]["default"]) == read.branches
    assert fields["schedule"]["default"] == read.schedule
    assert tuple(fields["indexSpaces"]["default"]) == read.policy.spaces
    assert (fields["priority"]["default"], fields["suspend"]["default"]) == (read.priority, read.suspended)
    assert (scaling["minWorkers"]["default"], scaling["maxWorkers"]["default"]) == (read.limits.minimum, read.limits.maximum)
    assert fields["scaling"]["default"] == {name: field["default"] for name, field in scaling.items()}
    assert fields["branches"]["maxItems"] == specification.MOST_BRANCHES
    assert {scaling[name]["maximum"] for name in scaling} == {specification.MOST_WORKERS}
    assert (-fields["priority"]["minimum"], fields["priority"]["maximum"]) == (specification.MOST_PRIORITY,) * 2
    for name in ("include", "exclude"):
        assert fields["selection"]["properties"][name]["maxItems"] == specification.MOST_PATTERNS


def test_all_that_the_operator_writes_is_kept() -> None:
    """The API server drops fields of a status that are not in the schema, without a word."""
    building = engine("dev", RepositoryState.INDEXING, progress=Progress(1, 2), behind_since=1e9, error="no", revision="c" * 40)
    written = observed(
        resource(branches=["main", "dev"]),
        seen(engine(files_failed=1), building, jobs={MAIN: JOB, DEV: JOB}, last_sync=NOW, next_sync=NOW),
        NOW,
    )
    known = SCHEMA["properties"]["status"]["properties"]
    assert written.keys() == known.keys()
    for part in ("conditions", "branches"):
        fields = {field for one in written[part] for field in one}
        assert fields == known[part]["items"]["properties"].keys()


def test_what_people_see_first() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [one["name"] for one in columns if not one.get("priority")] == ["Ready", "Coverage", "Commit", "Behind", "Age"]
    assert [one["name"] for one in columns if one.get("priority")] == ["Reason", "URL"]
