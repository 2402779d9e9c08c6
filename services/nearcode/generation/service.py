"""Completion and chat: prompts that fit the time, streams that end in it."""

import secrets
import time
from asyncio import timeout
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from opentelemetry import trace

from nearcode.domain.budget import Clock
from nearcode.domain.completion import Message, Outcome
from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.language_model import ChatRequest, Finish, LanguageModel, TextRequest
from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.generation.attempts import Attempt, attempts
from nearcode.generation.chat_prompt import chat_prompt
from nearcode.generation.cited_code import cited_code, cited_count
from nearcode.generation.observer import GenerationObserver
from nearcode.generation.pacing import paced
from nearcode.generation.profiles import Profile, choose
from nearcode.generation.prompt import CompletionPrompt, completion_prompt
from nearcode.generation.recent import RecentPrompt, RecentPrompts, shared_prefix
from nearcode.generation.settings import GenerationSettings
from nearcode.generation.speed import Speed
from nearcode.generation.stop import StopRules, StopStream
from nearcode.generation.untrusted_text import visible
from nearcode.telemetry import conventions
from nearcode.telemetry.spans import detached

tracer = trace.get_tracer("nearcode.generation")

_OPERATIONS = {"completion": "text_completion", "chat": "chat"}
"""Of the GenAI conventions."""
# Less is not enough for a round trip to any model.
_LEAST_SECONDS = 0.04
# The last piece must still travel to the editor.
_MARGIN_SECONDS, _MARGIN_SHARE = 0.03, 0.1
# Fewer prompt tokens say nothing about the place.
_LEAST_TOKENS = 32
_SPARE_TOKENS = 32
# A prompt is cut anew, and its cache lost, only for this much more context.
_WORTHWHILE = 1.4


@dataclass(slots=True)
class _Run:
    """One call to the model."""

    kind: str
    ends: float
    fresh: int = 0
    prompt: int = 0
    started: float = 0.0
    first: float = 0.0
    last: float = 0.0
    pieces: int = 0
    shown: bool = False
    stopped: bool = False
    finish: Finish | None = None


@dataclass(slots=True)
class _Model:
    """The model that answers now, and what is known of it."""

    name: str
    profile: Profile
    context_tokens: int
    speed: Speed
    recent: RecentPrompts = field(default_factory=RecentPrompts)
    warm: bool = False


class Generation:
    """Implements domain.completion.Generator over a language model."""

    def __init__(
        self,
        model: LanguageModel,
        profiles: Sequence[Profile],
        settings: GenerationSettings,
        clock: Clock = time.monotonic,
        observer: GenerationObserver | None = None,
    ) -> None:
        self._observer = observer or GenerationObserver()
        self._model, self._profiles, self._settings, self._clock = model, profiles, settings, clock
        self._known: _Model | None = None

    async def complete(
        self, cursor: CodeCursor, snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        """Streams the code at the cursor; asks again, differently, when the model says nothing."""
        ends = self._ends(seconds)
        model = await self._serving(seconds)
        limit = _limit(max_tokens, self._settings.max_tokens or model.profile.completion_tokens)
        run, used = _Run("completion", ends), 0
        for number, attempt in enumerate(attempts(cursor, snippets)):
            try:
                prompt, fresh = self._prompt(model, attempt, limit, ends - self._clock())
            except Unavailable:
                if number:
                    break
                raise
            run, used = _Run("completion", ends, fresh, model.speed.tokens(len(prompt.text))), prompt.snippets_used
            async with aclosing(self._written(model, run, attempt, prompt, limit)) as texts:
                async for text in texts:
                    yield text
            if run.shown or self._clock() >= ends:
                break
        yield self._outcome(model, run, used)

    async def chat(
        self, messages: Sequence[Message], snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        """Streams the answer; a model that is not trusted is not asked, and the code found is the answer."""
        if not messages or messages[-1].role != "user":
            raise InvalidRequest("the last message of a chat is the user's question", field="messages")
        ends = self._ends(seconds)
        model = await self._serving(seconds)
        if not (model.profile.trusted and model.profile.chat):
            for text in cited_code(snippets, model.name, model.profile.chat):
                yield text
            outcome = Outcome(model.name, "stop", untrusted=True, snippets_used=cited_count(snippets))
            self._observer.answered("chat", outcome)
            yield outcome
            return
        limit = _limit(max_tokens, self._settings.chat_tokens)
        room = min(model.context_tokens - limit - _SPARE_TOKENS, model.speed.affordable(ends - self._clock()))
        prompt = chat_prompt(model.profile, messages, snippets, max(_LEAST_TOKENS, room), secrets.token_hex(4))
        size = model.speed.tokens(sum(len(message.content) for message in prompt.messages))
        run = _Run("chat", ends, size, size)
        parts = self._model.chat(ChatRequest(prompt.messages, limit))
        async with aclosing(self._streamed(model, run, parts, StopStream(StopRules(prose=True)))) as texts:
            async for text in texts:
                yield visible(text)
        yield self._outcome(model, run, prompt.snippets_used)

    def _ends(self, seconds: float) -> float:
        if seconds < _LEAST_SECONDS:
            raise Unavailable("no time is left for a model to answer", Reason.DEADLINE_EXCEEDED)
        return self._clock() + seconds - min(_MARGIN_SECONDS, seconds * _MARGIN_SHARE)

    async def _serving(self, seconds: float) -> _Model:
        """The model that answers now; asked each time, because a server may be given another one."""
        try:
            async with timeout(seconds):
                served = await self._model.served()
        except TimeoutError as error:
            raise Unavailable("no model answered in time", Reason.DEADLINE_EXCEEDED) from error
        if self._known is None or self._known.name != served.name:
            profile = choose(served.name, self._settings.profile, self._profiles)
            held = served.context_tokens or profile.context_tokens
            self._known = _Model(served.name, profile, min(held, profile.context_tokens), Speed(profile))
        return self._known

    def _prompt(self, model: _Model, attempt: Attempt, limit: int, seconds: float) -> tuple[CompletionPrompt, int]:
        """The prompt and how many of its tokens are new to the model. Raises Unavailable when it cannot be read in time."""
        profile, speed = model.profile, model.speed
        most = min(profile.affordable_tokens, model.context_tokens - limit - _SPARE_TOKENS)
        allowed = max(_LEAST_TOKENS, min(most, speed.affordable(seconds)))
        recent = model.recent.of(attempt.cursor.path)
        tokens = allowed
        if recent and allowed < recent.tokens * _WORTHWHILE:
            again = completion_prompt(profile, attempt.cursor, attempt.snippets, recent.tokens)
            if speed.tokens(len(again.text) - shared_prefix(again.text, recent.text)) <= allowed:
                tokens = recent.tokens
        prompt = completion_prompt(profile, attempt.cursor, attempt.snippets, tokens)
        fresh = speed.tokens(len(prompt.text) - (shared_prefix(prompt.text, recent.text) if recent else 0))
        if speed.until_first(fresh) > seconds:
            speed.refused()
            raise Unavailable("the model cannot read the code around the cursor in time", Reason.DEADLINE_EXCEEDED)
        model.recent.keep(attempt.cursor.path, RecentPrompt(tokens, prompt.text))
        return prompt, fresh

    def _written(
        self, model: _Model, run: _Run, attempt: Attempt, prompt: CompletionPrompt, limit: int
    ) -> AsyncGenerator[str, None]:
        request = TextRequest(prompt.text, limit, model.profile.stop, prompt.infill, attempt.temperature)
        rules = StopRules.at(attempt.cursor, model.profile.stop, prompt.typed)
        return self._streamed(model, run, self._model.complete(request), StopStream(rules), attempt.lead)

    async def _streamed(
        self, model: _Model, run: _Run, parts: AsyncGenerator[str | Finish, None], stop: StopStream, lead: str = ""
    ) -> AsyncGenerator[str, None]:
        """The text that may be shown, paced; afterwards the run knows how it ended, and the speeds are measured."""
        run.started = self._clock()
        operation = _OPERATIONS[run.kind]
        with detached(tracer, f"{operation} {model.name}", conventions.model(operation, model.name)) as span:
            try:
                async with aclosing(paced(self._shown(run, parts, stop), run.ends, self._clock)) as texts:
                    async for text in texts:
                        yield lead + text
                        run.shown, lead = True, ""
                if rest := stop.finish():
                    yield lead + rest
                    run.shown = True
            except Unavailable:
                model.recent.forget()
                model.warm = False
                raise
            finally:
                self._measure(model, run)
                span.set_attributes(_figures(run))

    async def _shown(self, run: _Run, parts: AsyncGenerator[str | Finish, None], stop: StopStream) -> AsyncGenerator[str, None]:
        async with aclosing(parts) as stream:
            async for part in stream:
                if isinstance(part, Finish):
                    run.finish = part
                    return
                run.last = self._clock()
                run.first = run.first or run.last
                run.pieces += 1
                if text := stop.feed(part):
                    yield text
                if stop.done:
                    run.stopped = True
                    return

    def _measure(self, model: _Model, run: _Run) -> None:
        """The first call says nothing of the model's speed: the model may have been loaded in it."""
        if run.first:
            self._observer.first_piece(run.first - run.started)
        if model.warm and run.first:
            model.speed.read(run.fresh, run.first - run.started)
            model.speed.wrote(run.pieces - 1, run.last - run.first)
        elif not run.first:
            model.recent.forget()
            model.speed.read(run.fresh, self._clock() - run.started, finished=False)
        model.warm = model.warm or run.pieces > 0

    def _outcome(self, model: _Model, run: _Run, used: int) -> Outcome:
        ended = run.stopped or run.finish is not None
        reason = "deadline" if not ended else "empty" if not run.shown else run.finish.reason if run.finish else "stop"
        finish = run.finish or Finish(reason)
        outcome = Outcome(
            model.name,
            reason,
            prompt_tokens=finish.prompt_tokens or run.prompt,
            completion_tokens=finish.completion_tokens or run.pieces,
            untrusted=not model.profile.trusted,
            snippets_used=used,
        )
        self._observer.answered(run.kind, outcome)
        return outcome


def _figures(run: _Run) -> conventions.Attributes:
    """What a call to the model cost, for its span."""
    figures: conventions.Attributes = {
        conventions.MODEL_INPUT_TOKENS: (run.finish.prompt_tokens if run.finish else 0) or run.prompt,
        conventions.MODEL_OUTPUT_TOKENS: (run.finish.completion_tokens if run.finish else 0) or run.pieces,
    }
    return {**figures, conventions.MODEL_FIRST_PIECE: round(run.first - run.started, 6)} if run.first else figures


def _limit(asked: int, default: int) -> int:
    if asked < 0:
        raise InvalidRequest("max_tokens is not negative", field="max_tokens")
    return min(asked, default) if asked else default
