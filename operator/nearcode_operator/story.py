"""The story that `kubectl describe` tells: what changed between two statuses, each thing once."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nearcode_operator.conditions import NORMAL_REASONS, Reason, condition
from nearcode_operator.judgement import CONNECTED, INDEXED, SHORT_COMMIT

_LONGEST = 1000
"""Characters of an event's message: Kubernetes takes 1,024 bytes in a note."""

_TROUBLE = {Reason.JOB_FAILED, Reason.INDEX_FAILED, Reason.WAITING_FOR_BUDGET}
"""Reasons of Indexed that no branch tells."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event to write for a resource. `type` is Normal or Warning."""

    type: str
    reason: str
    message: str


def events(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    """What to tell of the difference of two statuses of a resource; nothing when they tell the same."""
    return [*_connecting(old, new), *_branches(old, new), *_indexing(old, new)]


def _event(reason: Reason, message: str) -> Event:
    kind = "Normal" if reason in NORMAL_REASONS else "Warning"
    return Event(kind, str(reason), message if len(message) <= _LONGEST else f"{message[: _LONGEST - 1]}…")


def _connecting(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    before, now = condition(old, CONNECTED), condition(new, CONNECTED)
    if not now or _same(before, now) or now["reason"] == Reason.CONNECTING:
        return
    was = before.get("reason", Reason.CONNECTED)
    if now["status"] != "True" or now["reason"] == Reason.SUSPENDED:
        yield _event(Reason(now["reason"]), now["message"])
    elif was == Reason.SUSPENDED:
        yield _event(Reason.RESUMED, now["message"])
    elif was not in NORMAL_REASONS:
        yield _event(Reason.RECOVERED, f"{was} is over. {now['message']}")
    else:
        yield _event(Reason.CONNECTED, now["message"])


def _indexing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    before, now = condition(old, INDEXED), condition(new, INDEXED)
    if now.get("reason") in _TROUBLE and not _same(before, now):
        yield _event(Reason(now["reason"]), now["message"])


def _branches(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    before = {one["name"]: one for one in old.get("branches", ())}
    now = {one["name"]: one for one in new.get("branches", ())}
    for name, one in now.items():
        yield from _branch(before.get(name, {}), one)
    for name, one in before.items():
        if name not in now and one["state"] != "Duplicate":
            yield _event(Reason.DISCONNECTED, f"{name} is not followed any more.")


def _branch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
    name, job = new["name"], new.get("job")
    begun = new.get("generation") != old.get("generation")
    if new["state"] == "Indexing":
        commit = new.get("wanted", "")[:SHORT_COMMIT]
        if begun or old.get("state") == "Failed":
            yield _event(Reason.INDEXING, f"Indexing commit {commit} of {name}{f' as Job {job}' if job else ''}.")
        elif job and job != old.get("job"):
            yield _event(Reason.JOB_CREATED, f"Job {job} indexes commit {commit} of {name}.")
    elif new["state"] == "Ready" and (begun or old.get("state") != "Ready"):
        yield _event(Reason.INDEXED, _indexed(new))


def _indexed(one: Mapping[str, Any]) -> str:
    files, failed, seconds = one.get("files", 0), one.get("failed", 0), one.get("seconds", 0.0)
    took = f" in {seconds:,.0f} s" if seconds >= 10 else f" in {seconds:.1f} s" if seconds else ""
    left_out = f" {failed:,} could not be indexed." if failed else ""
    commit = one.get("commit", "")[:SHORT_COMMIT]
    return f"Indexed {files:,} file{'' if files == 1 else 's'} of {one['name']} at {commit}{took}.{left_out}"


def _same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two conditions tell a person the same; numbers in a message (seconds, tries) make no news."""
    return _gist(before) == _gist(now)


def _gist(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return one.get("status", ""), one.get("reason", ""), re.sub(r"\d+", "", one.get("message", ""))
