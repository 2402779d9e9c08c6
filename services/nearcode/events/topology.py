"""Every stream and every consumer of nearcode, on one screen.

| stream | keeps | who reads |
| --- | --- | --- |
| desired | the newest wish of each repository | ingestion: one durable, shared |
| work | small updates until they are done; refuses new ones when full | one durable a stage, shared by its workers |
| bulk | first indexes and large backlogs, likewise | the same, apart, so that small updates never wait behind them |
| fill | what fills a collection behind what is served: a stage's durable for each collection | likewise |
| facts | what happened, 7 days | every replica of whoever cares, each by itself |
| quarantine | messages that failed, with the reason, 30 days | people: `nearcode dead` |
"""

from dataclasses import dataclass

_DAY = 86_400.0

LARGEST_EVENT = 64 * 1024
"""Bytes. Events carry identities and spans, never code."""

DUPLICATE_WINDOW = 600.0
"""Seconds within which the same message id is stored once."""

ACK_WAIT = 10.0
"""Seconds until an unanswered message is delivered again; a handler at work says so every third of them."""

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


def stream_of(subject: str) -> str:
    """The stream that stores a subject."""
    head = subject.split(".", 1)[0]
    return next(stream.name for stream in STREAMS if stream.subjects[0].split(".", 1)[0] == head)


def durable_of(subject: str) -> str:
    """The name of the shared consumer of a subject: its stream and stage, without org and repository wildcards."""
    return "-".join(token for token in subject.split(".") if token not in {"*", ">"})


def retry_delay(delivery: int) -> float:
    """Seconds before delivery number `delivery + 1`: 1, 2, 4 ... 300."""
    return min(300.0, 2.0 ** (delivery - 1))
