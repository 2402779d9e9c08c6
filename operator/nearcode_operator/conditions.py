"""Conditions of a Repository resource, and every reason that they can have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why a condition is what it is; also the reasons of events."""

    # what is written
    INVALID_SPEC = "InvalidSpec"
    IMPOSSIBLE_SCHEDULE = "ImpossibleSchedule"
    DUPLICATE_URL = "DuplicateURL"
    SECRET_MISSING = "SecretMissing"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    # what the engine says
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    DISCONNECTED = "Disconnected"
    FETCH_FAILED = "FetchFailed"
    INDEXING = "Indexing"
    INDEX_FAILED = "IndexFailed"
    INDEXED = "Indexed"
    UP_TO_DATE = "UpToDate"
    RECOVERED = "Recovered"
    # what the Jobs say
    JOB_CREATED = "JobCreated"
    JOB_FAILED = "JobFailed"
    WAITING_FOR_BUDGET = "WaitingForBudget"


NORMAL_REASONS = frozenset(
    {
        Reason.SUSPENDED,
        Reason.RESUMED,
        Reason.CONNECTING,
        Reason.CONNECTED,
        Reason.DISCONNECTED,
        Reason.INDEXING,
        Reason.INDEXED,
        Reason.UP_TO_DATE,
        Reason.RECOVERED,
        Reason.JOB_CREATED,
        Reason.WAITING_FOR_BUDGET,
    }
)
"""Reasons that need nobody's help; every other one is a Warning."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a person has to put right, with the words that say how."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """`status` is True, False or Unknown."""

    type: str
    status: str
    reason: Reason
    message: str


def rfc3339(moment: datetime | float) -> str:
    """As Kubernetes writes times: UTC, whole seconds. A number is Unix time."""
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamped(
    conditions: Sequence[Condition], before: Sequence[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """As they stand in a resource's status; `lastTransitionTime` stays as `before` where the status stays."""
    old = {one.get("type"): one for one in before}
    return [_stamp(one, old.get(one.type, {}), generation, now) for one in conditions]


def _stamp(one: Condition, old: Mapping[str, Any], generation: int, now: datetime) -> dict[str, Any]:
    since = old.get("lastTransitionTime") if old.get("status") == one.status else None
    return {
        "type": one.type,
        "status": one.status,
        "reason": str(one.reason),
        "message": one.message,
        "lastTransitionTime": since or rfc3339(now),
        "observedGeneration": generation,
    }


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of this type in a resource's status; empty when it has none."""
    return next((one for one in status.get("conditions", ()) if one.get("type") == kind), {})
