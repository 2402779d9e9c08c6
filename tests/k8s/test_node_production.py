"""Every service in a pod of its own on a node that runs containers: real repositories, real Jobs, and what goes wrong."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from nearcode.domain.repository import repository_id

from tests.certificates import Authority
from tests.git_server import GitServer, git_server
from tests.k8s.code import files_of
from tests.k8s.release import Release
from tests.kubernetes.cluster import ApiServer

pytestmark = pytest.mark.timeout(900)

DEFINITION = "repositories.nearcode.dev"
HOST = "10.213.0.1"
"""This machine, as pods see it."""
SERVICES = ("gateway", "ingestion", "chunking", "embedding", "retrieval", "generation")
COMPONENTS = (*SERVICES, "operator", "nats", "qdrant")
SMALL = {"requests": {"cpu": "10m", "memory": "128Mi"}}
"""What a pod asks for here, so that all fit on one small node; limits are the chart's."""
PARTS = {"part_files": 8, "bulk_parts": 3}
"""So that 24 files are worth a Job, as 384 are by default."""
CODE = ("aiohttp", "hypothesis", "pydantic")
QUERIES = {
    "aiohttp": ("websocket client response receive", "aiohttp/client_ws.py"),
    "hypothesis": ("shrink an integer of a failing example", "hypothesis/internal/conjecture/shrinking/integer.py"),
    "pydantic": ("parse a dotenv or json type into a validated url", "pydantic/networks.py"),
}
NEW_FILE = "aiohttp/lunar.py"
NEW_CODE = (
    '"""Tides."""\n\n\ndef lunar_tide_height(hour: int) -> float:\n'
    '    """Height of the lunar tide in the harbor at an hour of the day."""\n    return abs(12 - hour) / 4\n'
)
ACCOUNT = ("reader", "right-password")
KILL_SECONDS = 120.0


def values(replicas: int = 1, **more: Any) -> dict[str, Any]:
    """The production profile, small enough for one node of two processors."""
    services = {service: {"replicas": replicas, "resources": SMALL} for service in SERVICES}
    return {
        "profile": "production",
        "servers": 1,
        "services": services,
        "operator": {"pod": {"resources": SMALL}},
        "nats": {"resources": SMALL},
        "qdrant": {"resources": SMALL},
        "jobs": {"budget": 3, "pod": {"resources": SMALL}},
        "crds": {"keep": False},
        "secretFiles": {"company-ca": {"secret": "company-ca", "key": "ca.crt"}},
        "settings": {"ingestion": {"git_ca_file": "/etc/nearcode/secrets/company-ca", **PARTS}},
        **more,
    }


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A code host of the company's own, which asks who is there."""
    folder = tmp_path_factory.mktemp("git")
    with git_server(folder, Authority(folder / "authority"), host=HOST, account=ACCOUNT) as server:
        for name in CODE:
            server.push(name, files_of(name))
        yield server


@pytest.fixture(scope="module")
def release(node: ApiServer, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Installed, with the company's authority and an account at its code host."""
    with node.namespace("production") as namespace:
        made = Release(node, namespace, tmp_path_factory.mktemp("callers"), "production")
        made.kubectl("create", "secret", "generic", "company-ca", f"--from-file=ca.crt={git.ca}")
        secret(made, "code-host", ACCOUNT[1])
        print(f"\nhelm install, until Ready: {made.install(values()):.1f} s")
        yield made
        node.kubectl("delete", "crd", DEFINITION, "--ignore-not-found")


@pytest.fixture(scope="module")
def indexed(release: Release, git: GitServer) -> Release:
    """With three repositories Ready."""
    began = time.monotonic()
    for name in CODE:
        connect(release, git, name)
    for name in CODE:
        release.until_ready(name, git.head(name), 300)
        print(f"{name}: Ready {time.monotonic() - began:.1f} s after all were made")
    return release


def test_every_service_runs_in_a_pod_of_its_own_and_is_ready(release: Release) -> None:
    found = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in release.pods()}
    assert set(COMPONENTS) <= set(found)
    for component in COMPONENTS:
        (status,) = found[component]["status"]["containerStatuses"]
        assert (component, status["ready"], status["restartCount"]) == (component, True, 0)


def test_repositories_become_ready_through_jobs(indexed: Release, git: GitServer) -> None:
    print(indexed.kubectl("get", "repositories"))
    print(indexed.kubectl("get", "jobs"))
    print(indexed.kubectl("describe", "repository", "aiohttp"))
    expected = {identity(git, name) for name in CODE}
    indexed.server.until(60, f"an ended Job of each of {expected}", lambda: succeeded(indexed) == expected)
    for name, (query, path) in QUERIES.items():
        assert path in indexed.search(git.url(name), query)


def test_helm_test_passes(indexed: Release) -> None:
    began = time.monotonic()
    indexed.helm("test", indexed.name, "--timeout", "300s")
    print(f"helm test: {time.monotonic() - began:.1f} s")


def test_a_push_is_found(indexed: Release, git: GitServer) -> None:
    commit = git.push("aiohttp", {NEW_FILE: NEW_CODE})
    connect(indexed, git, "aiohttp", schedule="* * * * *")
    print(f"Ready at the push {indexed.until_ready('aiohttp', commit, 150):.1f} s later, the schedule being every minute")
    assert NEW_FILE in indexed.search(git.url("aiohttp"), "height of the tide in the harbor")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_that_is_killed_comes_back_and_with_it_the_answers(indexed: Release, git: GitServer, component: str) -> None:
    query, path = QUERIES["aiohttp"]
    began = time.monotonic()
    indexed.kill(component)
    answered = indexed.until_answers(git.url("aiohttp"), query, path, KILL_SECONDS)
    indexed.server.until(KILL_SECONDS, f"a ready pod of {component}", lambda: serves(indexed, component))
    print(f"{component} killed: answers after {answered:.1f} s, pod ready after {time.monotonic() - began:.1f} s")
    # Who needs it says so to its probes, and is ready again a little later.
    indexed.server.until(KILL_SECONDS, "ready pods of all", lambda: all(serves(indexed, each) for each in COMPONENTS))
    for name in CODE:
        indexed.until_ready(name, git.head(name), KILL_SECONDS)


def test_what_was_pushed_while_pods_died_is_found(indexed: Release, git: GitServer) -> None:
    commit = git.push("pydantic", {"solar.py": NEW_CODE.replace("lunar", "solar")})
    for component in ("chunking", "embedding"):
        indexed.kill(component)
    connect(indexed, git, "pydantic", schedule="* * * * *")
    indexed.until_ready("pydantic", commit, 200)
    assert "solar.py" in indexed.search(git.url("pydantic"), "height of the solar tide")


def test_a_deleted_repository_takes_clone_points_and_manifest_along(indexed: Release, git: GitServer) -> None:
    repository = identity(git, "hypothesis")
    assert indexed.manifest(repository) is not None
    began = time.monotonic()
    indexed.kubectl("delete", "repository", "hypothesis", "--timeout=60s")
    print(f"finalizer: {time.monotonic() - began:.1f} s")
    assert indexed.manifest(repository) is None
    assert repository not in files_in(indexed, "ingestion", "/data")


def test_bad_input_is_said_and_disturbs_nothing_else(indexed: Release, git: GitServer) -> None:
    git.push("other", {"a.py": "A = 1\n"})
    connect(indexed, git, "no-secret", url=git.url("other"), credentials={"secretRef": {"name": "forgotten"}})
    secret(indexed, "wrong", "wrong-password")
    git.push("locked", {"a.py": "A = 1\n"})
    connect(indexed, git, "wrong-password", url=git.url("locked"), credentials={"secretRef": {"name": "wrong"}})
    connect(indexed, git, "aiohttp-again", url=git.url("aiohttp"))
    git.push("timeless", {"a.py": "A = 1\n"})
    connect(indexed, git, "timeless", schedule="0 0 31 2 *")
    expected = {
        "no-secret": ("SecretMissing", "forgotten"),
        "wrong-password": ("FetchFailed", "refuses the credentials"),
        "aiohttp-again": ("DuplicateURL", "aiohttp"),
        "timeless": ("ImpossibleSchedule", "0 0 31 2 *"),
    }
    for name, (reason, word) in expected.items():
        print(f"{name}: {reason}: {indexed.until_reason(name, reason, word)}")
    print(indexed.kubectl("get", "repositories"))
    indexed.kubectl("delete", "repository", *expected, "--timeout=60s")
    indexed.kubectl("delete", "secret", "wrong")
    assert indexed.condition("aiohttp")[0] == "True"
    assert QUERIES["aiohttp"][1] in indexed.search(git.url("aiohttp"), QUERIES["aiohttp"][0])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"url": "https://reader:secret@example.com/x.git"}, "password"),
        ({"url": "https://example.com/x.git", "branches": "main"}, "branches"),
        ({"url": "https://example.com/x.git", "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(release: Release, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError) as refused:
        release.connect("refused", **spec)
    assert said in str(refused.value)


def test_an_upgrade_and_a_rollback_go_through_while_questions_are_answered(indexed: Release, git: GitServer) -> None:
    print(f"upgrade: {indexed.upgrade(values(settings={**values()['settings'], 'retrieval': {'candidates': 60}})):.1f} s")
    assert "candidates = 60" in indexed.get("configmap", f"{indexed.name}-settings")["data"]["nearcode.toml"]
    indexed.until_answers(git.url("aiohttp"), *QUERIES["aiohttp"], 30)
    print(f"rollback: {indexed.rollback():.1f} s")
    assert "candidates = 60" not in indexed.get("configmap", f"{indexed.name}-settings")["data"]["nearcode.toml"]
    indexed.until_answers(git.url("aiohttp"), *QUERIES["aiohttp"], 30)


def test_uninstall_leaves_nothing(indexed: Release, node: ApiServer) -> None:
    indexed.helm("uninstall", indexed.name, "--wait", "--timeout", "180s")
    indexed.until_left([])
    node.until(30, "no definition of Repository", lambda: node.get("crd", DEFINITION) is None)
    node.until(30, "no volume", lambda: node.items("pv") == [])


def secret(release: Release, name: str, password: str) -> None:
    """An account at the code host."""
    account = [f"--from-literal=username={ACCOUNT[0]}", f"--from-literal=password={password}"]
    release.kubectl("create", "secret", "generic", name, *account)


def connect(release: Release, git: GitServer, name: str, **spec: Any) -> None:
    """A Repository of the code host, with the right account if none is given."""
    release.connect(name, **{"url": git.url(name), "credentials": {"secretRef": {"name": "code-host"}}, **spec})


def identity(git: GitServer, name: str) -> str:
    """The engine's name of a repository."""
    return repository_id(git.url(name), "main")


def succeeded(release: Release) -> set[str]:
    """Repositories whose Job has ended well."""
    jobs = release.items("jobs", "-l", "nearcode.dev/repository")
    return {job["metadata"]["labels"]["nearcode.dev/repository"] for job in jobs if job["status"].get("succeeded")}


def serves(release: Release, component: str) -> bool:
    """Whether a component has a pod that is ready, and none on its way out."""
    pods = release.pods(component)
    conditions = [{one["type"]: one["status"] for one in pod["status"].get("conditions", [])} for pod in pods]
    leaving = any("deletionTimestamp" in pod["metadata"] for pod in pods)
    return bool(pods) and not leaving and all(each.get("Ready") == "True" for each in conditions)


def files_in(release: Release, component: str, folder: str) -> str:
    """Names of all files and folders below a folder of a component's pod."""
    (pod,) = release.pods(component)
    program = f"import pathlib; print(*pathlib.Path({folder!r}).rglob('*'), sep='\\n')"
    return release.kubectl("exec", pod["metadata"]["name"], "--", "/opt/nearcode/bin/python", "-c", program)
