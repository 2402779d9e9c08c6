"""Every stream and every consumer of nearcode, on one screen.

| stream | keeps | who reads |
| --- | --- | --- |
| desired | the newest wish of each repository | ingestion: one durable, shared |
| work | small updates until they are done; refuses new ones when full | one durable a stage, shared by its workers |
| bulk | first indexes and large backlogs, likewise, so that small updates never wait behind them | see below |
| fill | what fills a collection behind what is served: a stage's durable for each collection | likewise |
| facts | what happened, 7 days | every replica of whoever cares, each by itself |
| quarantine | messages that failed, with the reason, 30 days | people: `nearcode dead` |

Bulk, by stage; ORG is a setting, a Job is `nearcode work REPOSITORY`:

| stage | subject | consumer | of |
| --- | --- | --- | --- |
| synced, cut | `bulk.ORG.*.STAGE` | `bulk-ORG-STAGE`, stays | standing workers with `events.bulk = true` |
| synced, cut | `bulk.ORG.REPOSITORY.STAGE` | `bulk-ORG-REPOSITORY-STAGE`, goes with the work | that repository's Job |
| indexed | `bulk.ORG.*.indexed` | `bulk-ORG-indexed`, stays | ingestion, always |

The first two exclude each other: a work queue refuses consumers that overlap. A Job removes the first; standing workers wait
until no Job works. Switching `events.bulk` thus needs nothing but a restart of the standing workers.
"""

from dataclasses import dataclass
from typing import Literal

Queue = Literal["small", "bulk", "fill"]
"""Small updates, for which somebody waits; first indexes and large backlogs; what fills a collection behind the served one."""

_DAY = 86_400.0

LARGEST_EVENT = 64 * 1024
"""Bytes. Events carry identities and spans, never code."""

DUPLICATE_WINDOW = 600.0
"""Seconds within which the same message id is stored once."""

ACK_WAIT = 10.0
"""Seconds until an unanswered message is delivered again; a handler at work says so every third of them."""

MOST_UNANSWERED = 128
"""Messages of one consumer that all processes together work on, or wait to try again, as when a dependency is away: enough for
32 processes with four handlers, and few, because those that were tried too often end in quarantine."""

FORGOTTEN = 900.0
"""Seconds after which a Job's consumer goes that nobody asked: longer than Kubernetes waits until it starts a pod again (six
minutes). Its messages stay."""

DELIVERIES = 5
"""Deliveries after which an unexpected failure is final."""

DELIVERIES_WHILE_UNAVAILABLE = 20
"""Deliveries after which a missing dependency is final: about an hour, see `retry_delay`."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream. `work_queue`: a message goes when it is acknowledged. `newest_only`: one message a subject."""

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = False
    newest_only: bool = False
    max_age: float = 0.0
    max_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Share:
    """What of the queues a process works on. With a `repository`, as a Job does: its bulk and nothing else. Without: small
    updates and fills, and with `bulk` also first indexes and large backlogs of all repositories."""

    bulk: bool = True
    repository: str = ""

    def queues(self, stage: str, fill: bool = False) -> tuple[Queue, ...]:
        """The queues of a stage (synced, cut, indexed)."""
        if self.repository:
            return () if fill else ("bulk",)
        if fill:
            return ("fill",)
        return ("small", "bulk") if self.bulk or stage == "indexed" else ("small",)


STREAMS = (
    Stream("desired", ("desired.>",), newest_only=True),
    Stream("work", ("work.small.>",), work_queue=True),
    Stream("bulk", ("bulk.>",), work_queue=True),
    Stream("fill", ("fill.>",), work_queue=True),
    Stream("facts", ("facts.>",), max_age=7 * _DAY),
    Stream("quarantine", ("quarantine.>",), max_age=30 * _DAY),
)

MANIFESTS, BUILDS, SPACES = "manifests", "builds", "spaces"
"""Key-value buckets: a repository's manifests; what became of each batch of a build; which model answers for a space."""

OBJECTS = "revisions"
"""Object store of revision artifacts."""

_STAGE_AT = {"work": 2, "bulk": 3, "fill": 1}
"""Where a subject says its stage; those of `desired` need not."""


def stream_of(subject: str) -> str:
    """The stream that stores a subject."""
    head = subject.split(".", 1)[0]
    return next(stream.name for stream in STREAMS if stream.subjects[0].split(".", 1)[0] == head)


def durable_of(subject: str) -> str:
    """The name of the shared consumer of a subject: its stream and stage, without org and repository wildcards."""
    return "-".join(token for token in subject.split(".") if token not in {"*", ">"})


def stage_of(subject: str) -> str:
    """What is done with the messages of a subject, whoever they are of: `work.small.cut.ORG.*` -> `cut`."""
    tokens = subject.split(".")
    return tokens[_STAGE_AT[tokens[0]]] if tokens[0] in _STAGE_AT else "wanted"


def of_one_repository(subject: str) -> bool:
    """Whether a consumer of this subject is a Job's, and goes with it."""
    tokens = subject.split(".")
    return tokens[0] == "bulk" and tokens[2] != "*"


def overlap(one: str, other: str) -> bool:
    """Whether a message can have a subject that two filters without `>` let pass."""
    pairs = list(zip(one.split("."), other.split("."), strict=False))
    return one.count(".") == other.count(".") and all(a == b or "*" in (a, b) for a, b in pairs)


def retry_delay(delivery: int) -> float:
    """Seconds before delivery number `delivery + 1`: 1, 2, 4 ... 300."""
    return min(300.0, 2.0 ** (delivery - 1))
