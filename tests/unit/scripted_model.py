"""A language model that says what a test tells it to: a port of ours, so a double is fair."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from nearcode.domain.language_model import ChatRequest, Finish, ServedModel, TextRequest


@dataclass
class ScriptedModel:
    """Says `answers` one after the other, piece by piece; `before` and `between` are seconds."""

    answers: Sequence[Sequence[str]]
    name: str = "qwen2.5-coder-7b"
    before: float = 0.0
    between: float = 0.0
    asked: list[TextRequest | ChatRequest] = field(default_factory=list)
    said: int = 0
    closed: int = 0

    async def served(self) -> ServedModel:
        return ServedModel(self.name, 8192)

    async def healthy(self) -> bool:
        return True

    def complete(self, request: TextRequest) -> AsyncGenerator[str | Finish, None]:
        return self._say(request)

    def chat(self, request: ChatRequest) -> AsyncGenerator[str | Finish, None]:
        return self._say(request)

    async def _say(self, request: TextRequest | ChatRequest) -> AsyncGenerator[str | Finish, None]:
        pieces = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(request)
        try:
            await asyncio.sleep(self.before)
            for piece in pieces:
                self.said += 1
                yield piece
                await asyncio.sleep(self.between)
            yield Finish("stop", prompt_tokens=10, completion_tokens=5)
        finally:
            self.closed += 1
