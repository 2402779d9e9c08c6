"""Reads what /metrics answers, and what docs/operations.md says of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
_ROW = re.compile(r"^\| `(?P<name>[a-z_]+)` \| (?P<kind>\w+) \| (?P<labels>.*?) \| (?P<shown>.*?) \| (?P<text>.*) \|$", re.M)
_SERIES_LABELS = frozenset({"le"})
"""Of histograms' buckets."""


@dataclass
class Family:
    """A metric with the labels its series have, and how many series there are."""

    kind: str
    text: str
    labels: set[str] = field(default_factory=set)
    series: int = 0
    shown_by: str = ""


def shown(page: str) -> dict[str, Family]:
    """The metrics of a /metrics page but those of the process itself. Counters with `_total`, as Prometheus names them."""
    found = {}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - _SERIES_LABELS
        found[name] = Family(family.type, family.documentation, labels, len(family.samples))
    return {name: family for name, family in found.items() if not name.startswith("process_")}


def documented() -> Mapping[str, Family]:
    """The metrics of docs/operations.md."""
    rows = [match.groupdict() for match in _ROW.finditer(PAGE.read_text("utf-8"))]
    return {
        row["name"]: Family(row["kind"], row["text"], set(re.findall(r"`(\w+)`", row["labels"])), 0, row["shown"])
        for row in rows
    }
