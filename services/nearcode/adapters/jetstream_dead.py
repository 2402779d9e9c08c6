"""What was quarantined, and its way back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from nearcode.adapters.jetstream_errors import TIMEOUT, insist, nats_errors
from nearcode.adapters.jetstream_reactor import DELIVERIES, ERROR, EVENT, REASON, SUBJECT


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A quarantined message. `when` is Unix time in seconds."""

    id: str
    subject: str
    event: str
    repository: str
    reason: str
    error: str
    when: float
    deliveries: int


class DeadLetters:
    """The quarantine stream."""

    def __init__(self, client: Client) -> None:
        self._stream = client.jetstream(timeout=TIMEOUT)

    async def list(self) -> list[DeadLetter]:
        """Oldest first."""
        state = (await insist(lambda: self._stream.stream_info("quarantine"))).state
        return [
            letter for sequence in range(max(1, state.first_seq), state.last_seq + 1) if (letter := await self._get(sequence))
        ]

    async def replay(self, ids: Sequence[str] | None = None) -> int:
        """Sends the letters (None: all) to their subjects again and forgets them. Returns how many."""
        letters = [letter for letter in await self.list() if ids is None or letter.id in ids]
        for letter in letters:
            with nats_errors():
                raw = await self._stream.get_msg("quarantine", int(letter.id))
                # A new id: within the duplicate window the old one would be taken for the message that died.
                headers = {"Nats-Msg-Id": f"replay-{letter.id}-{time.time_ns()}", EVENT: letter.event}
                await self._stream.publish(letter.subject, raw.data or b"", headers=headers)
                await self._stream.delete_msg("quarantine", int(letter.id))
        return len(letters)

    async def _get(self, sequence: int) -> DeadLetter | None:
        try:
            raw = await insist(lambda: self._stream.get_msg("quarantine", sequence))
        except NotFoundError:
            return None
        headers = raw.headers or {}
        subject_ = headers.get(SUBJECT, raw.subject or "")
        return DeadLetter(
            id=str(sequence),
            subject=subject_,
            event=headers.get(EVENT, ""),
            repository=next((token for token in subject_.split(".") if token.startswith("r") and len(token) == 21), ""),
            reason=headers.get(REASON, ""),
            error=headers.get(ERROR, ""),
            when=raw.time.timestamp() if raw.time else 0.0,
            deliveries=int(headers.get(DELIVERIES, "0")),
        )
