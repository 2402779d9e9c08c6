"""The chart as it comes: `helm install` without a value, on a node that runs containers."""

import time
from collections.abc import Iterator

import pytest

from tests.certificates import Authority
from tests.git_server import GitServer, git_server
from tests.k8s.code import files_of
from tests.k8s.release import Release
from tests.kubernetes.cluster import ApiServer

pytestmark = pytest.mark.timeout(600)

DEFINITION = "repositories.nearcode.dev"
HOST = "10.213.0.1"
"""This machine, as pods see it."""
QUERY, FOUND = "how are options of a command parsed", "click/parser.py"


@pytest.fixture(scope="module")
def release(node: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Installed without any value."""
    with node.namespace("embedded") as namespace:
        made = Release(node, namespace, tmp_path_factory.mktemp("callers"), "embedded")
        print(f"\nhelm install, until Ready: {made.install():.1f} s")
        yield made
        node.kubectl("delete", "crd", DEFINITION, "--ignore-not-found")


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A code host of the company's own, whose certificate only the company's authority vouches for."""
    folder = tmp_path_factory.mktemp("git")
    with git_server(folder, Authority(folder / "authority"), host=HOST) as server:
        yield server


def test_a_plain_install_is_one_pod_that_becomes_ready_within_its_probes(release: Release) -> None:
    (pod,) = release.pods()
    assert {container["name"]: container["ready"] for container in pod["status"]["containerStatuses"]} == {
        "engine": True,
        "operator": True,
    }
    assert [container["restartCount"] for container in pod["status"]["containerStatuses"]] == [0, 0]
    assert release.items("jobs") == []


def test_helm_test_indexes_a_repository_searches_and_completes(release: Release) -> None:
    began = time.monotonic()
    release.helm("test", release.name, "--timeout", "300s")
    print(f"helm test: {time.monotonic() - began:.1f} s")


def test_an_upgrade_changes_a_value_and_a_rollback_takes_it_back_and_the_index_stays(release: Release, git: GitServer) -> None:
    release.kubectl("create", "secret", "generic", "company-ca", f"--from-file=ca.crt={git.ca}")
    trusting = {
        "secretFiles": {"company-ca": {"secret": "company-ca", "key": "ca.crt"}},
        "settings": {"ingestion": {"git_ca_file": "/etc/nearcode/secrets/company-ca"}},
    }
    print(f"upgrade: {release.upgrade(trusting):.1f} s")
    commit = git.push("click", files_of("click"))
    release.connect("click", git.url("click"))
    print(f"Ready after {release.until_ready('click', commit, 120):.1f} s")
    assert FOUND in release.search(git.url("click"), QUERY)

    print(f"rollback: {release.rollback():.1f} s")
    settings = release.get("configmap", f"{release.name}-settings")["data"]["nearcode.toml"]
    assert "company-ca" not in settings
    print(f"answers: {release.until_answers(git.url('click'), QUERY, FOUND, 30):.1f} s after the rollback")


def test_uninstall_leaves_nothing_but_what_users_wrote(release: Release, node: ApiServer) -> None:
    release.helm("uninstall", release.name, "--wait", "--timeout", "120s")
    release.until_left(["repository.nearcode.dev/click"])
    release.kubectl("delete", "repository", "click", "--timeout=20s")
    assert node.get("crd", DEFINITION) is not None, "crds.keep is on: other releases may have resources"
