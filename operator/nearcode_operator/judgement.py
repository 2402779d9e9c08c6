"""Judges what was found of a resource: its conditions, with reasons and messages that a person can act on."""

from collections.abc import Mapping, Sequence
from typing import Any

from nearcode_operator.conditions import Condition, Reason
from nearcode_operator.model import Resource
from nearcode_operator.observation import Observation

SHORT_COMMIT = 12
"""Characters of a commit in columns, conditions and events; `status.branches` has all of them."""

CONNECTED, INDEXED, READY = "Connected", "Indexed", "Ready"

Branch = Mapping[str, Any]
"""An entry of `status.branches`."""


def judged(resource: Resource, seen: Observation, branches: Sequence[Branch]) -> list[Condition]:
    """Ready is what is wanted of both others: followed, and indexed as the engine's manifests say. No Job has a say in it."""
    connected, indexed = _connected(resource, seen, branches), _indexed(resource, seen, branches)
    decisive = next((one for one in (connected, indexed) if one.status != "True"), indexed)
    reason, message = decisive.reason, decisive.message
    if decisive is indexed and resource.suspended:
        reason, message = connected.reason, f"{connected.message} {message}"
    return [Condition(READY, decisive.status, reason, message), connected, indexed]


def _connected(resource: Resource, seen: Observation, branches: Sequence[Branch]) -> Condition:
    def verdict(status: str, reason: Reason, message: str) -> Condition:
        return Condition(CONNECTED, status, reason, message)

    if seen.faults:
        return verdict("False", seen.faults[0].reason, _sentences(fault.message for fault in seen.faults))
    if taken := [one for one in branches if one["state"] == "Duplicate"]:
        return verdict("False", Reason.DUPLICATE_URL, _duplicate(seen, taken))
    if resource.suspended:
        return verdict("True", Reason.SUSPENDED, "Not followed: spec.suspend is true. What was indexed stays searchable.")
    if seen.repositories is None:
        return verdict("Unknown", Reason.ENGINE_UNAVAILABLE, _unavailable(seen))
    if failed := [one for one in branches if seen.failures.get(one["repository"])]:
        return verdict("False", Reason.FETCH_FAILED, _sentences(f"{one['name']}: {one['error']}" for one in failed))
    if unknown := [one["name"] for one in branches if one["repository"] not in seen.repositories]:
        return verdict("False", Reason.CONNECTING, f"Fetching {_listed(unknown)} of {resource.url} for the first time.")
    return verdict("True", Reason.CONNECTED, f"Follows {_listed(one['name'] for one in branches)} of {resource.url}.")


def _indexed(resource: Resource, seen: Observation, branches: Sequence[Branch]) -> Condition:
    def verdict(status: str, reason: Reason, message: str) -> Condition:
        return Condition(INDEXED, status, reason, message)

    if seen.repositories is None:
        return verdict("Unknown", Reason.ENGINE_UNAVAILABLE, _unavailable(seen))
    own = [one for one in branches if one["state"] != "Duplicate"]
    behind = [one for one in own if one["state"] != "Ready"]
    if not behind and own:
        return verdict("True", Reason.UP_TO_DATE, _sentences(map(_up_to_date, own)))
    if failed := [one for one in behind if one["state"] == "Failed"]:
        return verdict("False", Reason.INDEX_FAILED, _sentences(f"{_what(one)}: {one.get('error', '')}" for one in failed))
    jobs = [seen.jobs[one["repository"]] for one in behind if "job" in one and one["repository"] in seen.jobs]
    if broken := [job.key.name for job in jobs if job.failed]:
        return verdict("False", Reason.JOB_FAILED, f"Job {_listed(broken)} failed and is made anew: see its pods' logs.")
    building = [one for one in behind if one.get("wanted")]
    waiting = [job.key.name for job in jobs if not job.parallelism]
    if waiting and len(waiting) == len(building):
        words = "waits: the pods of all Jobs together have reached jobs.budget. Raise it, or this resource's priority."
        return verdict("False", Reason.WAITING_FOR_BUDGET, f"Job {_listed(waiting)} {words}")
    if building:
        return verdict("False", Reason.INDEXING, f"Indexing {_listed(map(_what, building))}.")
    return verdict("False", *_nothing_yet(resource, seen, bool(own)))


def _nothing_yet(resource: Resource, seen: Observation, owns: bool) -> tuple[Reason, str]:
    """Why there is nothing to index."""
    reason = Reason.CONNECTING
    if seen.faults:
        reason = seen.faults[0].reason
    elif not owns:
        reason = Reason.DUPLICATE_URL
    elif resource.suspended:
        reason = Reason.SUSPENDED
    elif seen.failures:
        reason = Reason.FETCH_FAILED
    return reason, "No commit is known yet: see condition Connected."


def _duplicate(seen: Observation, taken: Sequence[Branch]) -> str:
    owners = _sentences(f"{one['name']} belongs to Repository {seen.taken[one['repository']]}, which is older" for one in taken)
    return f"{owners} Take it out of spec.branches, or delete one of the two resources."


def _unavailable(seen: Observation) -> str:
    why = f": {seen.unavailable}" if seen.unavailable else ""
    return f"The engine does not answer{why}. What was last seen is shown; it goes on when the engine answers."


def _what(one: Branch) -> str:
    """A build, in words."""
    commit = one.get("wanted", "")[:SHORT_COMMIT]
    return f"commit {commit} of {one['name']}" if commit else str(one["name"])


def _up_to_date(one: Branch) -> str:
    failed = f", {one['failed']:,} could not be indexed" if one.get("failed") else ""
    filled = one.get("coverage", "100%")
    filling = "" if filled == "100%" else f", {filled} of them in every index space"
    return f"{one['name']} is indexed at {one.get('commit', '')[:SHORT_COMMIT]}: {one.get('files', 0):,} files{failed}{filling}"


def _listed(names: Any) -> str:
    return ", ".join(names)


def _sentences(parts: Any) -> str:
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts)
