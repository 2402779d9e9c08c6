"""Names of spans and attributes, in one place. OpenTelemetry's semantic conventions where there are some (those of databases,
messaging and GenAI as of opentelemetry-semantic-conventions 0.66b2; a test compares), `nearcode.` before our own.

`nats` and `qdrant` are custom values: the conventions name neither system. No attribute holds code, a question or an answer.
"""

from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

Attributes = dict[str, AttributeValue]

ERROR_TYPE = "error.type"
"""A reason of ours, a status code or the class of an exception; never its text, which may quote code."""

BUDGET_ALLOTTED, BUDGET_SPENT = "nearcode.budget.allotted_ms", "nearcode.budget.spent_ms"
BUDGET_CARRIED, BUDGET_SKIPPED = "nearcode.budget.carried_ms", "nearcode.budget.skipped"
"""What a stage was allotted, what it spent and what it left to the later ones, in milliseconds; whether it gave up."""
EVENT = "nearcode.event.name"
DELIVERIES = "nearcode.event.deliveries"
"""How often the broker has delivered an event, this time included."""
CHUNKS, FILES, PROFILE = "nearcode.chunks", "nearcode.files", "nearcode.embedding.profile"

RPC_STATUS = "rpc.response.status_code"
MODEL_INPUT_TOKENS, MODEL_OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
MODEL_FIRST_PIECE = "gen_ai.response.time_to_first_chunk"
"""Seconds."""


def rpc(method: str, address: str = "") -> Attributes:
    """A gRPC call, on either side. `method`: `package.Service/Method`, also the span's name."""
    named: Attributes = {"rpc.system.name": "grpc", "rpc.method": method}
    host, _, port = address.rpartition(":")
    if address.startswith("unix:"):
        return {**named, "server.address": address.removeprefix("unix:")}
    return {**named, "server.address": host.strip("[]"), "server.port": int(port)} if host and port.isdigit() else named


def database(operation: str, collection: str, batch: int = 0) -> Attributes:
    """A call to the index. The span's name is `operation collection`; `batch`: how many points or queries, if it says."""
    size: Attributes = {"db.operation.batch.size": batch} if batch > 1 else {}
    return {"db.system.name": "qdrant", "db.operation.name": operation, "db.collection.name": collection, **size}


def message(operation: str, event: str, subject: str, message_id: str, size: int) -> Attributes:
    """An event on its way. `operation`: `send` or `process`; the span's name is `operation event`, because a subject names
    a repository and span names are to be few. `size` is in bytes."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": subject,
        EVENT: event,
        "messaging.message.id": message_id,
        "messaging.message.body.size": size,
    }


def model(operation: str, name: str) -> Attributes:
    """A call to a language model. `operation`: `text_completion` or `chat`; the span's name is `operation name`."""
    return {"gen_ai.operation.name": operation, "gen_ai.request.model": name}


RESULT, NEAR_MISS = "nearcode.result", "nearcode.near_miss"
"""Events of retrieval's stage `rank`: a chunk that is in the answer, one that is not."""


def answer(probability: float, useful: bool, evidence: Mapping[str, float]) -> Attributes:
    """How likely an answer is useful, and what that was computed from."""
    judged: Attributes = {"nearcode.answer.probability": probability, "nearcode.answer.useful": useful}
    return {**judged, **{f"nearcode.evidence.{name.replace(' ', '_')}": value for name, value in evidence.items()}}


def candidate(
    chunk: str, rank: int, judged: tuple[float, float], reasons: Mapping[str, float], lanes: Mapping[str, int], lost: str = ""
) -> Attributes:
    """A ranked chunk by its id: score and probability (`judged`), what each signal gave, its rank in each lane, why it lost."""
    score, probability = judged
    return {
        "nearcode.chunk.id": chunk,
        "nearcode.rank": rank,
        "nearcode.score": score,
        "nearcode.probability": probability,
        **{f"nearcode.reason.{name.replace(' ', '_')}": value for name, value in reasons.items()},
        **{f"nearcode.lane.{name.replace(' ', '_')}": place for name, place in lanes.items()},
        **({"nearcode.lost_because": lost} if lost else {}),
    }
