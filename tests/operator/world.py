"""A cluster, an engine and its git server in memory: what a sweep works on. Both count calls, and can die at one of them."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nearcode.domain.address import Address
from nearcode.domain.backlog import Backlog
from nearcode.domain.errors import NotFound, PermissionDenied, Reason, Unavailable
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import RepositoryState, RepositoryStatus, repository_id
from nearcode_operator import resources
from nearcode_operator.convergence import Convergence, Outcome, Parts
from nearcode_operator.credentials import Credentials
from nearcode_operator.errands import Errands
from nearcode_operator.indexing import IndexingJobs
from nearcode_operator.inventory import Inventory
from nearcode_operator.model import Engine, Job, Key
from nearcode_operator.ports import Listing
from nearcode_operator.repositories import Seen, read
from nearcode_operator.settings import JobSettings, WorkerSettings
from nearcode_operator.telling import Telling
from nearcode_operator.workers import StandingWorkers

NAMESPACE = "code"
CREDENTIALS = "nearcode-credentials"
TEMPLATE = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [{"name": "work"}]}}}}
Object = dict[str, Any]


class Killed(Exception):
    """The operator's process ended at this call."""


@dataclass
class Death:
    """The operator dies at call number `at` from now: before it is done, or after it and before the answer. A dead operator
    does nothing more."""

    at: int = 0
    done: bool = False
    dead: bool = False
    calls: int = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        self.calls += 1
        if self.dead or (self.calls == self.at and not self.done):
            self.dead = True
            raise Killed
        yield
        if self.calls == self.at:
            self.dead = True
            raise Killed


@dataclass
class Time:
    """Passes when the test says so."""

    now: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def seconds(self) -> float:
        return self.now.timestamp()


@dataclass
class MemoryEngine:
    """The EngineApi. `heads`: commits by (url, branch). A commit is `bulk` messages of work. `lives`: how often a repository
    was forgotten; its generations begin anew."""

    death: Death
    time: Time
    lives: Counter[str]
    heads: dict[tuple[str, str], str] = field(default_factory=dict)
    repositories: dict[str, RepositoryStatus] = field(default_factory=dict)
    backlog: Counter[str] = field(default_factory=Counter)
    small: dict[str, int] = field(default_factory=dict)
    bulk: int = 30
    away: bool = False
    blind: bool = False
    """It does not see credentials yet."""
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def observe(self) -> Engine:
        with self._asked("observe", ""):
            return Engine(dict(self.repositories), Backlog(+self.backlog, dict(self.small), {}))

    async def connect(self, url: str, branch: str, policy: IndexPolicy) -> RepositoryStatus:
        id = repository_id(url, branch)
        with self._asked("connect", id):
            known = self.repositories.get(id)
            if known is None:
                known = RepositoryStatus(id, url, url.rpartition("/")[2], branch, RepositoryState.CONNECTED, policy=policy)
            elif known.policy != policy:
                known = self._want(replace(known, policy=policy), known.wanted)
            self.repositories[id] = known
            return known

    async def sync(self, repository: str) -> RepositoryStatus:
        with self._asked("sync", repository):
            if repository not in self.repositories:
                raise NotFound("no such repository")
            known = self.repositories[repository]
            head = self.heads.get((known.url, known.branch))
            if self.blind:
                raise Unavailable("put them into a file", Reason.CREDENTIALS_MISSING)
            if head is None:
                raise Unavailable(f"{known.branch} cannot be fetched")
            if head != known.wanted or known.error:
                self.repositories[repository] = self._want(known, head)
            return self.repositories[repository]

    async def disconnect(self, repository: str) -> None:
        with self._asked("disconnect", repository):
            self.lives[repository] += repository in self.repositories
            self.repositories.pop(repository, None)
            self.backlog.pop(repository, None)

    def work(self, repository: str, messages: int) -> bool:
        """What pods do. Whether nothing is left and the repository serves what is wanted."""
        self.backlog[repository] = max(0, self.backlog[repository] - messages)
        known = self.repositories.get(repository)
        if known and not self.backlog[repository] and known.wanted:
            self.repositories[repository] = replace(known, state=RepositoryState.READY, revision=known.wanted, files=3)
        return not self.backlog[repository]

    def _want(self, known: RepositoryStatus, head: str) -> RepositoryStatus:
        self.backlog[known.id] += self.bulk
        state = RepositoryState.INDEXING
        return replace(known, wanted=head, generation=known.generation + 1, state=state, error="")

    @contextmanager
    def _asked(self, method: str, repository: str) -> Iterator[None]:
        self.calls.append((method, repository))
        if self.away:
            raise Unavailable("IngestionService at engine:8443 does not answer")
        with self.death.call():
            yield


@dataclass
class MemoryCluster:
    """The ClusterApi, and what people and Kubernetes' own controllers do. `made`: how often each Job was, by its name, owner
    and the life of the index that it is for."""

    death: Death
    time: Time
    lives: Counter[str]
    stored: dict[str, dict[str, Object]] = field(default_factory=lambda: {"repositories": {}, "jobs": {}})
    secrets: dict[str, dict[str, str]] = field(default_factory=lambda: {CREDENTIALS: {}})
    deployments: dict[str, int] = field(default_factory=dict)
    events: dict[str, Object] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    quota: set[str] = field(default_factory=set)
    """Repositories for whose Jobs the cluster has no place."""
    version: int = 100

    async def repositories(self) -> Listing:
        return self._list("repositories")

    async def jobs(self) -> Listing:
        return self._list("jobs")

    async def create_job(self, manifest: Mapping[str, Any]) -> Object | None:
        with self._asked("create jobs"):
            name = manifest["metadata"]["name"]
            if manifest["metadata"]["labels"][resources.REPOSITORY_LABEL] in self.quota:
                raise PermissionDenied("Kubernetes refuses to create jobs: exceeded quota")
            if name in self.stored["jobs"]:
                return None
            repository = manifest["metadata"]["labels"][resources.REPOSITORY_LABEL]
            owner = manifest["metadata"]["ownerReferences"][0]["uid"]
            self.made[f"{name} of {owner}, index {self.lives[repository]}"] += 1
            return self.put("jobs", copy.deepcopy(dict(manifest)))

    async def scale_job(self, key: Key, parallelism: int) -> Object | None:
        with self._asked("patch jobs"):
            job = self.stored["jobs"].get(key.name)
            return job and self.put("jobs", {**job, "spec": {**job["spec"], "parallelism": parallelism}})

    async def delete_job(self, key: Key) -> None:
        with self._asked("delete jobs"):
            self.stored["jobs"].pop(key.name, None)

    async def replicas(self, deployment: str) -> int | None:
        with self._asked("get deployments/scale"):
            return self.deployments.get(deployment)

    async def scale_deployment(self, deployment: str, replicas: int) -> None:
        with self._asked("patch deployments/scale"):
            self.deployments[deployment] = replicas

    async def patch_status(self, key: Key, changes: Mapping[str, Any]) -> Object | None:
        with self._asked("patch repositories/status"):
            found = self.stored["repositories"].get(key.name)
            if found is None:
                return None
            status = {**found.get("status", {}), **changes}
            return self.put("repositories", {**found, "status": {k: v for k, v in status.items() if v is not None}})

    async def post_event(self, event: Mapping[str, Any]) -> None:
        with self._asked("create events"):
            self.events.setdefault(event["metadata"]["name"], dict(event))

    async def secret(self, name: str) -> Mapping[str, str] | None:
        with self._asked("get secrets"):
            return self.secrets.get(name)

    async def write_secret(self, name: str, changes: Mapping[str, str | None]) -> None:
        with self._asked("patch secrets"):
            values: dict[str, str | None] = {**self.secrets[name], **changes}
            self.secrets[name] = {key: value for key, value in values.items() if value is not None}

    def put(self, kind: str, manifest: Object) -> Object:
        self.version += 1
        manifest = copy.deepcopy(manifest)
        manifest["metadata"] |= {"resourceVersion": str(self.version), "namespace": NAMESPACE}
        manifest["metadata"].setdefault("uid", f"uid-{self.version}")
        self.stored[kind][manifest["metadata"]["name"]] = manifest
        return copy.deepcopy(manifest)

    def _list(self, kind: str) -> Listing:
        with self._asked(f"list {kind}"):
            return Listing(copy.deepcopy(list(self.stored[kind].values())), str(self.version))

    @contextmanager
    def _asked(self, call: str) -> Iterator[None]:
        self.calls[call] += 1
        with self.death.call():
            yield


class World:
    """Everything around one operator after the other. `budget`: pods of all Jobs; `jobs`: whether there are any."""

    def __init__(self, budget: int = 4, jobs: bool = True, workers: Mapping[str, WorkerSettings] | None = None) -> None:
        self.death, self.time = Death(), Time()
        around = self.death, self.time, Counter[str]()
        self.engine, self.cluster = MemoryEngine(*around), MemoryCluster(*around)
        self._budget, self._jobs, self._workers = budget, jobs, workers or {}
        self.most_pods = 0
        self.start()

    def start(self) -> None:
        """A new operator, which knows nothing of the one before."""
        self.death.at, self.death.dead, self.death.calls = 0, False, 0
        cluster, clock, now = self.cluster, self.time.seconds, lambda: self.time.now
        self.repositories: Inventory[Seen] = Inventory(cluster.repositories, read, clock=clock)
        self.errands = Errands(16, 60.0, now, lambda: None)
        jobs: Inventory[Job] = Inventory(cluster.jobs, resources.read_job, clock=clock)
        settings = JobSettings(enabled=False, budget=self._budget, messages_per_worker=10)
        self.watched: dict[str, Inventory[Any]] = {"repositories": self.repositories, "jobs": jobs}
        parts = Parts(
            Credentials(cluster, CREDENTIALS, clock),
            StandingWorkers(cluster, self._workers, clock),
            IndexingJobs(cluster, jobs, TEMPLATE, settings, clock) if self._jobs else None,
        )
        telling = Telling(cluster, self.repositories, 16, now)
        self.convergence = Convergence(self.engine, self.repositories, parts, telling, self.errands, now)

    # people

    def apply(self, name: str, branches: Sequence[str] = ("main",), repository: str = "", **spec: Any) -> None:
        """Makes a Repository, or changes it. Its code is there."""
        url = f"https://git.example.com/{repository or name}"
        for branch in branches:
            self.engine.heads.setdefault((Address.parse(url, branch).url, branch), f"c1-{branch}")
        body = self.cluster.stored["repositories"].get(name) or {
            "metadata": {
                "name": name,
                "generation": 0,
                "creationTimestamp": f"2026-01-01T00:00:{self.cluster.version % 60:02}Z",
                "finalizers": [resources.FINALIZER],
            }
        }
        body["metadata"]["generation"] += 1
        self.tell(
            "repositories", self.cluster.put("repositories", {**body, "spec": {"url": url, "branches": list(branches), **spec}})
        )

    def push(self, repository: str, commit: str, branch: str = "main") -> None:
        self.engine.heads[f"https://git.example.com/{repository}", branch] = commit

    def delete(self, name: str) -> None:
        """As `kubectl delete`: it stays until it is finalized."""
        body = self.cluster.stored["repositories"][name]
        body["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
        self.tell("repositories", self.cluster.put("repositories", body))

    # what the operator does

    async def sweep(self) -> Outcome:
        outcome = await self.convergence.sweep()
        await self.errands.settled(tuple(self.errands.running))
        return outcome

    async def finalize(self) -> None:
        """What Kopf asks for, and does after it."""
        for name, body in list(self.cluster.stored["repositories"].items()):
            if body["metadata"].get("deletionTimestamp"):
                await self.convergence.finalize(read(body).resource)
                del self.cluster.stored["repositories"][name]
                self.repositories.remove(body)

    async def settle(self, sweeps: int = 40) -> None:
        """Sweeps while pods work, until nothing is under way."""
        for _ in range(sweeps):
            await self.finalize()
            outcome = await self.sweep()
            working = self.work()
            self.time.passes(2)
            if not outcome.unsettled and not working:
                return
        raise AssertionError(f"not settled: {self.reasons()}, {self.engine.backlog}")

    # Kubernetes

    def tell(self, kind: str, manifest: Object) -> None:
        """The watch."""
        self.watched[kind].put(manifest)

    def work(self) -> bool:
        """Lets every pod of a Job work off some messages. Whether there were any."""
        pods = 0
        for name, job in list(self.cluster.stored["jobs"].items()):
            known = resources.read_job(job)
            if known is None or known.succeeded or known.failed or not known.parallelism:
                continue
            pods += known.parallelism
            done = self.engine.work(known.repository, 5 * known.parallelism)
            ended = [{"type": "Complete", "status": "True"}] if done else []
            status = {"active": 0 if done else known.parallelism, "conditions": ended}
            if name in self.cluster.stored["jobs"]:
                self.tell("jobs", self.cluster.put("jobs", {**job, "status": status}))
        self.most_pods = max(self.most_pods, pods)
        return pods > 0

    # what one sees

    def ready(self, name: str) -> tuple[str, str]:
        """Status and reason of Ready."""
        conditions = self.cluster.stored["repositories"][name].get("status", {}).get("conditions", [])
        return next(((one["status"], one["reason"]) for one in conditions if one["type"] == "Ready"), ("", ""))

    def reasons(self) -> dict[str, tuple[str, str]]:
        return {name: self.ready(name) for name in self.cluster.stored["repositories"]}

    def job_names(self) -> list[str]:
        return sorted(self.cluster.stored["jobs"])

    def id(self, repository: str, branch: str = "main") -> str:
        return repository_id(f"https://git.example.com/{repository}", branch)
