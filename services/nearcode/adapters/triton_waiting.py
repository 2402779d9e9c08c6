"""Texts that wait for a place in a batch. Pure."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Caller = TypeVar("Caller")


@dataclass(frozen=True, slots=True)
class WaitingText(Generic[Caller]):
    """The text at `position` of a caller's list. `since` is monotonic seconds."""

    text: bytes
    caller: Caller
    position: int
    since: float


@dataclass(slots=True)
class WaitingTexts(Generic[Caller]):
    """Gives out batches of like length, because a batch costs as much as its longest text times their number. The text that
    waited longest is in the next batch, so that none waits forever."""

    _texts: dict[int, WaitingText[Caller]] = field(default_factory=dict)
    _by_length: list[tuple[int, int]] = field(default_factory=list)
    _by_age: deque[tuple[int, int]] = field(default_factory=deque)
    _next: int = 0

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, texts: Iterable[WaitingText[Caller]]) -> None:
        """Lets texts wait; those that come together are served longest first."""
        for text in sorted(texts, key=lambda each: -len(each.text)):
            key = (-len(text.text), self._next)
            self._texts[self._next] = text
            insort(self._by_length, key)
            self._by_age.append(key)
            self._next += 1

    def take(self, most: int) -> list[WaitingText[Caller]]:
        """The oldest text and those nearest to it in length, at most `most`; shorter ones rather than longer ones."""
        while self._by_age and self._by_age[0][1] not in self._texts:
            self._by_age.popleft()
        if not self._by_age:
            return []
        oldest = bisect_left(self._by_length, self._by_age[0])
        end = min(oldest + most, len(self._by_length))
        start = max(0, min(oldest, end - most))
        taken = self._by_length[start:end]
        del self._by_length[start:end]
        return [self._texts.pop(number) for _, number in taken]

    def drop(self, caller: Caller) -> None:
        """Forgets the texts of a caller that does not wait any more."""
        gone = {number for number, text in self._texts.items() if text.caller is caller}
        self._by_length = [key for key in self._by_length if key[1] not in gone]
        for number in gone:
            del self._texts[number]
