"""Who may talk to whom: what nearcode needs, and nothing else. Network policies are read as Kubernetes reads them."""

from collections.abc import Iterator

import pytest

from tests.chart.rendering import VARIATIONS, Object, Pod, Rendered, render, variation

ENGINE = ("gateway", "ingestion", "chunking", "embedding", "retrieval", "generation", "worker")
NEEDED = {
    "embedded": {("test", "engine", 8443), ("engine", "test", 8443)},
    "production": {
        *(("gateway", callee, 8443) for callee in ("ingestion", "retrieval", "generation")),
        *((caller, "ingestion", 8443) for caller in ("chunking", "embedding", "worker", "operator")),
        *((caller, "nats", port) for caller in ENGINE for port in (4222, 8222)),
        *((caller, "qdrant", port) for caller in ("ingestion", "embedding", "retrieval", "worker") for port in (6333, 6334)),
        ("nats", "nats", 6222),
        ("qdrant", "qdrant", 6335),
        ("test", "gateway", 8443),
        ("ingestion", "test", 8443),
    },
    "production, Triton on GPUs": {
        (caller, "triton", 8001) for caller in ("ingestion", "embedding", "retrieval", "generation", "worker")
    },
}
NEVER = {
    ("retrieval", "ingestion", 8443),
    ("generation", "qdrant", 6334),
    ("gateway", "qdrant", 6334),
    ("operator", "nats", 4222),
    ("worker", "gateway", 8443),
    ("test", "ingestion", 8443),
    ("gateway", "ingestion", 8087),
    ("gateway", "ingestion", 9443),
}


def policies_of(rendered: Rendered, pod: Pod, direction: str) -> list[Object]:
    """The policies that hold for a pod in a direction."""
    return [
        one["spec"]
        for one in rendered.kind("NetworkPolicy")
        if direction in one["spec"]["policyTypes"] and one["spec"]["podSelector"]["matchLabels"].items() <= pod.labels.items()
    ]


def _rules(policies: list[Object], direction: str, port: int, protocol: str = "TCP") -> Iterator[list[Object]]:
    """Peers of the rules for a port; an empty list means everybody."""
    side, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    for policy in policies:
        for rule in policy.get(side) or ():
            if any(one["port"] == port and one["protocol"] == protocol for one in rule["ports"]):
                yield rule.get(peers, [])


def allowed(rendered: Rendered, caller: Pod, callee: Pod, port: int) -> bool:
    """Whether a pod may call another one: both sides must allow it."""

    def allows(pod: Pod, direction: str, other: Pod) -> bool:
        policies = policies_of(rendered, pod, direction)
        return not policies or any(
            not peers
            or any(peer.get("podSelector", {}).get("matchLabels", {"": ""}).items() <= other.labels.items() for peer in peers)
            for peers in _rules(policies, direction, port)
        )

    return allows(caller, "Egress", callee) and allows(callee, "Ingress", caller)


def outside(rendered: Rendered, pod: Pod) -> set[int]:
    """Ports of the world that a pod may call."""
    found = set()
    for policy in policies_of(rendered, pod, "Egress"):
        for rule in policy.get("egress") or ():
            if not rule.get("to"):
                found |= {one["port"] for one in rule["ports"]}
    return found


def pods(rendered: Rendered) -> dict[str, Pod]:
    """One pod of each component."""
    return {pod.component: pod for pod in rendered.pods()}


@pytest.mark.parametrize("name", VARIATIONS)
def test_everything_is_denied_to_every_pod_both_ways_first(name: str) -> None:
    rendered = variation(name)
    deny = rendered.get("NetworkPolicy", "nearcode-deny")["spec"]
    assert not deny.get("ingress") and not deny.get("egress")
    for pod in rendered.pods():
        for direction in ("Ingress", "Egress"):
            assert deny in policies_of(rendered, pod, direction), f"{pod.owner} is open: {direction}"
            assert len(policies_of(rendered, pod, direction)) == 2, f"{pod.owner} has no policy of its own"


@pytest.mark.parametrize("name", NEEDED)
def test_what_must_talk_can_talk(name: str) -> None:
    rendered = variation(name)
    found = pods(rendered)
    assert [one for one in NEEDED[name] if not allowed(rendered, found[one[0]], found[one[1]], one[2])] == []
    for pod in found.values():
        policies = policies_of(rendered, pod, "Egress")
        assert all(any(_rules(policies, "Egress", 53, protocol)) for protocol in ("UDP", "TCP")), f"{pod.owner}: no names"


def test_a_missing_rule_is_found() -> None:
    rendered = render(VARIATIONS["production"])
    found = pods(rendered)
    rendered.get("NetworkPolicy", "nearcode-ingestion")["spec"]["ingress"].clear()
    assert not allowed(rendered, found["gateway"], found["ingestion"], 8443)
    assert allowed(rendered, found["ingestion"], found["nats"], 4222)


def test_what_need_not_talk_cannot() -> None:
    rendered = variation("production")
    found = pods(rendered)
    assert [one for one in NEVER if allowed(rendered, found[one[0]], found[one[1]], one[2])] == []


def test_the_world_is_open_to_who_asks_code_hosts_and_the_api_server() -> None:
    rendered = variation("production")
    assert {name: outside(rendered, pod) for name, pod in pods(rendered).items() if outside(rendered, pod)} == {
        "ingestion": {443},
        "operator": {443, 6443},
        "release": {443, 6443},
    }
    assert outside(variation("embedded"), pods(variation("embedded"))["engine"]) == {443, 6443}


def test_servers_that_the_settings_name_can_be_called_by_who_needs_them() -> None:
    others = variation("production, servers of others")
    found = {name: outside(others, pod) for name, pod in pods(others).items()}
    assert found["retrieval"] == {4222, 8222, 6333, 6334}
    assert found["chunking"] == {4222, 8222}
    model = variation("embedded, a model server")
    assert 8000 in outside(model, pods(model)["engine"])
    assert all(4317 in outside(variation("production, watched"), pods(variation("production, watched"))[one]) for one in ENGINE)


def test_metrics_are_shown_to_who_is_named_and_to_nobody_else() -> None:
    for name, shown in (("production", False), ("production, watched", True)):
        rendered = variation(name)
        for component, port in (("gateway", 9443), ("operator", 9444)):
            policies = policies_of(rendered, pods(rendered)[component], "Ingress")
            assert any(_rules(policies, "Ingress", port)) == shown


def test_the_gateway_is_open_unless_callers_are_named() -> None:
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    for given, expected in ((None, []), (peers, peers)):
        rendered = render({"profile": "production", **({"networkPolicy": {"gatewayFrom": given}} if given else {})})
        assert expected in _rules(policies_of(rendered, pods(rendered)["gateway"], "Ingress"), "Ingress", 8443)
