"""nearcode as helm installed it on a real node: its pods, its Repository resources, and what they say."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nearcode.domain.errors import NearcodeError, Unavailable
from nearcode.domain.repository import RepositoryStatus

from tests.k8s.callers import Callers
from tests.kubernetes.cluster import ApiServer
from tests.kubernetes.images import CHART

T = TypeVar("T")

INSTALL_SECONDS = 200.0
UNAVAILABLE_SECONDS = 60.0
"""How long a question is asked again while a service is unavailable."""
NOT_OURS = ("configmap/kube-root-ca.crt", "serviceaccount/default", "secret/company-ca", "secret/code-host")


@dataclass
class Release:
    """A release of the chart in a namespace of its own. `folder` gets what a caller needs: certificates and the token."""

    server: ApiServer
    namespace: str
    folder: Path
    profile: str
    name: str = "nearcode"

    def helm(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Runs helm in the release's namespace; `values` are given as a file."""
        given = ["--values", "-"] if values is not None else []
        text = json.dumps(values) if values is not None else None
        try:
            return self.server.helm("--namespace", self.namespace, *arguments, *given, stdin=text, seconds=INSTALL_SECONDS + 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def install(self, values: Mapping[str, Any] | None = None) -> float:
        """Seconds until all pods were ready."""
        return self._rolled("install", self.name, str(CHART), values=values)

    def upgrade(self, values: Mapping[str, Any]) -> float:
        """Seconds until all pods were ready."""
        return self._rolled("upgrade", self.name, str(CHART), values=values)

    def rollback(self) -> float:
        """To what was before the last upgrade. Seconds until all pods were ready."""
        return self._rolled("rollback", self.name)

    def _rolled(self, *arguments: str, values: Mapping[str, Any] | None = None) -> float:
        began = time.monotonic()
        self.helm(*arguments, "--wait", "--timeout", f"{INSTALL_SECONDS:.0f}s", values=values)
        return time.monotonic() - began

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Runs kubectl in the release's namespace."""
        return self.server.kubectl("--namespace", self.namespace, *arguments, check=check)

    def get(self, *arguments: str) -> Any:
        """An object of the namespace, as `kubectl get ARGUMENTS` finds it; None where there is no such thing."""
        return self.server.get("--namespace", self.namespace, *arguments)

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Objects of the namespace."""
        return self.server.items("--namespace", self.namespace, *arguments)

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """Pods of a component, or all of the release."""
        selector = f"app.kubernetes.io/instance={self.name}"
        if component:
            selector += f",app.kubernetes.io/component={component}"
        return self.items("pods", "-l", selector)

    def logs(self) -> str:
        """The last lines of every pod's log, for a failure's message."""
        names = [pod["metadata"]["name"] for pod in self.items("pods")]
        return "\n".join(self.kubectl("logs", name, "--all-containers", "--prefix", "--tail=12", check=False) for name in names)

    def kill(self, component: str) -> None:
        """Takes a component's pods away as a lost machine would: no time to finish anything."""
        names = [pod["metadata"]["name"] for pod in self.pods(component)]
        assert names, f"there is no pod of {component}"
        self.kubectl("delete", "pod", *names, "--force", "--grace-period=0")

    def connect(self, name: str, url: str, **spec: Any) -> None:
        """Makes a Repository resource, or changes it."""
        resource = {"apiVersion": "nearcode.dev/v1alpha1", "kind": "Repository", "metadata": {"name": name}}
        self.server.apply({**resource, "spec": {"url": url, **spec}}, namespace=self.namespace)

    def condition(self, name: str, kind: str = "Ready") -> tuple[str, str, str]:
        """Status, reason and message of a condition of a Repository; of what its spec says now."""
        found = self.get("repository", name) or {}
        status = found.get("status") or {}
        for one in status.get("conditions", []):
            if one["type"] == kind and status.get("observedGeneration") == found["metadata"]["generation"]:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def status(self, name: str) -> dict[str, Any]:
        """The status of a Repository resource; empty while it has none."""
        return dict((self.get("repository", name) or {}).get("status") or {})

    def until_ready(self, name: str, commit: str, seconds: float) -> float:
        """Seconds until a Repository says that it is Ready at a commit."""
        began = time.monotonic()

        def ready() -> bool:
            said = self.status(name).get("commit") or "-"
            return self.condition(name)[0] == "True" and commit.startswith(said)

        self._until(seconds, f"{name} Ready at {commit[:8]}", name, ready)
        return time.monotonic() - began

    def until_reason(self, name: str, reason: str, word: str) -> str:
        """Waits until a Repository is not Ready for a reason, with a message that has a word in it; returns the message."""

        def said() -> bool:
            status, why, message = self.condition(name)
            return (status, why) == ("False", reason) and word in message

        self._until(90, f"{reason} ({word}) of {name}", name, said)
        return self.condition(name)[2]

    def _until(self, seconds: float, what: str, name: str, condition: Any) -> None:
        try:
            self.server.until(seconds, what, condition)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(name), indent=1)}\n{self.logs()}") from error

    def until_left(self, expected: list[str]) -> None:
        """Waits until nothing else is left in the namespace, but what Kubernetes and the tests put there."""
        left: list[str] = []

        def gone() -> bool:
            left[:] = self._left()
            return left == expected

        try:
            self.server.until(90, f"a namespace with only {expected}", gone)
        except AssertionError as error:
            raise AssertionError(f"left: {left}\n{error}") from error

    def _left(self) -> list[str]:
        kinds = self.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
        listed = self.kubectl("get", ",".join(kind for kind in kinds if not kind.startswith("events")), "-o", "name")
        return [name for name in listed.split() if name not in NOT_OURS]

    def search(self, url: str, query: str) -> list[str]:
        """Paths that a search finds in a repository. Raises what the engine answers, unless that it is unavailable now."""
        return self._insist(lambda: self._search(url, query))

    def manifest(self, repository: str) -> RepositoryStatus | None:
        """What the engine knows of a repository; None when it knows nothing."""
        callers = self._callers("engine" if self.profile == "embedded" else "ingestion")
        return self._insist(lambda: callers.manifest(repository))

    def _search(self, url: str, query: str) -> list[str]:
        return self._callers("engine" if self.profile == "embedded" else "gateway").search(url, query)

    def _insist(self, ask: Callable[[], T]) -> T:
        """As callers do: a service is out of its Service's addresses for a while after what it needs was killed."""
        until = time.monotonic() + UNAVAILABLE_SECONDS
        while True:
            try:
                return ask()
            except Unavailable as error:
                if time.monotonic() > until:
                    raise AssertionError(f"no answer within {UNAVAILABLE_SECONDS:.0f} s: {error}\n{self.logs()}") from error
                time.sleep(0.5)

    def until_answers(self, url: str, query: str, expected: str, seconds: float) -> float:
        """Seconds until a search finds a file (again)."""
        began, said = time.monotonic(), ""
        while True:
            try:
                if expected in (paths := self._search(url, query)):
                    return time.monotonic() - began
                said = f"found {paths}"
            except NearcodeError as error:
                said = str(error)
            assert time.monotonic() - began < seconds, f"no answer within {seconds:.0f} s: {said}\n{self.logs()}"
            time.sleep(0.1)

    def _callers(self, component: str) -> Callers:
        name = f"{self.name}-{component}"
        certificate, token = (self.get("secret", secret)["data"] for secret in (f"{name}-tls", f"{self.name}-token"))
        address = self.get("service", name)["spec"]["clusterIP"]
        return Callers(f"{address}:8443", name, certificate | token, self.folder)
