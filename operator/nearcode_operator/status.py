"""What a Repository resource shows: observations become its status."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.spaces import COMPLETION

from nearcode_operator.conditions import rfc3339, stamped
from nearcode_operator.duplicates import repositories
from nearcode_operator.judgement import SHORT_COMMIT, judged
from nearcode_operator.model import Resource
from nearcode_operator.observation import Observation

_LONGEST_ERROR = 500
_STATES = {
    RepositoryState.CONNECTED: "Connected",
    RepositoryState.INDEXING: "Indexing",
    RepositoryState.READY: "Ready",
    RepositoryState.FAILED: "Failed",
}


def observed(resource: Resource, seen: Observation, now: datetime) -> dict[str, Any]:
    """The status to write: equal to `resource.status` when nothing changed but the clock."""
    before = resource.status
    branches = _branches(resource, seen)
    leaving = [
        {"name": name, "repository": repository, "state": "Disconnecting"}
        for repository, name in seen.dropped.items()
        if seen.repositories is None or repository in seen.repositories
    ]
    status = {
        "observedGeneration": resource.generation,
        "branches": [*branches, *leaving],
        "conditions": stamped(judged(resource, seen, branches), before.get("conditions", ()), resource.generation, now),
        "lastSync": rfc3339(seen.last_sync) if seen.last_sync else before.get("lastSync"),
        "nextSync": rfc3339(seen.next_sync) if seen.next_sync else None,
    }
    return _filled(status | _columns(branches))


def intended(resource: Resource) -> dict[str, Any]:
    """The status to write before the engine hears of a branch for the first time: `resource.status` with every branch of the
    spec in `branches`, so that whoever deletes the resource knows what to disconnect."""
    branches = list(resource.status.get("branches", ()))
    known = {one.get("repository") for one in branches}
    for name, repository in repositories(resource).items():
        if repository not in known:
            branches.append({"name": name, "repository": repository, "state": "Pending"})
    return {**resource.status, "branches": branches}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7396) that makes `new` of `old`; empty when they are equal."""
    patch: dict[str, Any] = {key: value for key, value in new.items() if key not in old or old[key] != value}
    return patch | {key: None for key in old if key not in new}


def coverage(one: RepositoryStatus) -> int:
    """Percent of the wanted revision's files that can be found, in the least covered of the index spaces that answer. Rounded
    down: 100 is all of them."""
    if one.state is RepositoryState.READY:
        ratios = [filled.ratio for filled in one.coverage if filled.role == "active" and filled.space != COMPLETION]
        return int(100 * min(ratios, default=1.0))
    missing = one.progress.files_total - one.progress.files_done
    total = max(one.files, one.progress.files_total)
    if not total or (not one.revision and not one.progress.files_total):
        return 0
    return min(99, int(100 * (total - missing) / total))


def _branches(resource: Resource, seen: Observation) -> list[dict[str, Any]]:
    before = list(resource.status.get("branches", ()))
    if not resource.branches:
        return before  # a spec that cannot be read changes nothing of what is known
    pending = {"state": "Pending"}
    known = {one.get("repository"): one for one in before}
    return [
        _branch(name, repository, known.get(repository, pending), seen) for name, repository in repositories(resource).items()
    ]


def _branch(name: str, repository: str, before: Mapping[str, Any], seen: Observation) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "repository": repository}
    if repository in seen.taken:
        return entry | {"state": "Duplicate", "error": f"belongs to {seen.taken[repository]}"}
    error = seen.failures.get(repository, "")
    if seen.repositories is None:
        return {**(before if before.get("state") != "Duplicate" else {"state": "Pending"}), **entry}
    one = seen.repositories.get(repository)
    if one is None:
        return _filled(entry | {"state": "Pending", "error": _cut(error)})
    job = seen.jobs.get(repository)
    return _filled(
        entry
        | {
            "state": _STATES[one.state],
            "commit": one.revision,
            "wanted": one.wanted,
            "generation": one.generation,
            "coverage": f"{coverage(one)}%",
            "files": one.files,
            "failed": one.files_failed,
            "chunks": one.chunks,
            "seconds": round(one.seconds, 1),
            "behindSince": rfc3339(one.behind_since) if one.behind_since else None,
            "job": job.key.name if job and job.generation == one.generation and not job.deleting else None,
            "error": _cut(error or one.error),
        }
    )


def _columns(branches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `kubectl get` prints, of all branches that are this resource's."""
    own = [one for one in branches if one["state"] != "Duplicate"]
    if not own:
        return {}
    return {
        "coverage": min((one.get("coverage", "0%") for one in own), key=lambda percent: int(percent[:-1])),
        "commit": own[0].get("commit", "")[:SHORT_COMMIT],
        "behindSince": min((one["behindSince"] for one in own if "behindSince" in one), default=None),
    }


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty; zeros are told."""
    return {key: value for key, value in values.items() if value not in (None, "")}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else f"{text[: _LONGEST_ERROR - 1]}…"
