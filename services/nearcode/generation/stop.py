"""Where a completion ends. Pure: what comes out does not depend on how the model's text was split into pieces.

`settle` is a function of all text so far; the longer the text, the longer its answer, and never a changed one. The first
line with content may stream; later lines are released when they are complete, because only then it is known whether they
leave the block, repeat the code below the cursor or begin to loop.
"""

import re
from dataclasses import dataclass, field

from nearcode.domain.retrieval import CodeCursor

_OPENS_BLOCK = re.compile(r"(:|\{|\(|\[|=>|->|\bdo|\bthen|\bbegin)\s*$")
_CLOSER = re.compile(r"^\s*(\}|\)|\]|end\b)")
_BRACKETS = {")": "(", "]": "[", "}": "{"}
# A model that says the same again six times will not stop by itself.
_LOOP_TIMES = 6
_LOOP_LONGEST = 40
_BLANK_LINES = 2
_LEADING_LINES = 3
_LINES_LONGEST = 24


@dataclass(frozen=True, slots=True)
class StopRules:
    """Rules for one completion.

    `indent` is the width of the block that the cursor stands in, `opened` says that the cursor's line opens a block below
    it, `blank` that there is nothing before the cursor on its line; `rest` is what follows it there, `below` the next line
    with content, `typed` the white space that the prompt left out. With `prose` nothing is cut but at `tokens`.
    """

    tokens: tuple[str, ...] = ()
    single_line: bool = False
    indent: int = 0
    opened: bool = False
    blank: bool = False
    rest: str = ""
    below: str = ""
    typed: str = ""
    prose: bool = False

    @staticmethod
    def at(cursor: CodeCursor, tokens: tuple[str, ...], typed: str = "") -> "StopRules":
        """The rules at a cursor: one line in the middle of a statement, a block after an opener or on an empty line."""
        line = cursor.prefix.rsplit("\n", 1)[-1]
        rest, _, following = cursor.suffix.partition("\n")
        opened = bool(_OPENS_BLOCK.search(line)) and not rest.strip()
        blank = not line.strip()
        below = next((text for text in following.split("\n") if text.strip()), "")
        return StopRules(
            tokens=tokens,
            single_line=bool(rest.strip()) or not (blank or opened),
            indent=_width(line),
            opened=opened,
            blank=blank,
            rest=rest.rstrip(),
            below=below.rstrip(),
            typed=typed,
        )


@dataclass(slots=True)
class StopStream:
    """Applies the rules to a stream: feed pieces in, take out what may be shown. `done`: the model may be stopped."""

    rules: StopRules
    done: bool = False
    _text: str = ""
    _shown: int = field(default=0)

    def feed(self, piece: str) -> str:
        """What may be shown now, beyond what was shown before."""
        if self.done:
            return ""
        self._text += piece
        settled, self.done = settle(self.rules, self._text, final=False)
        return self._release(settled)

    def finish(self) -> str:
        """The rest, when the model has ended by itself or was stopped."""
        if self.done:
            return ""
        self.done = True
        settled, _ = settle(self.rules, self._text, final=True)
        return self._release(settled)

    def _release(self, settled: str) -> str:
        fresh = settled[self._shown :]
        self._shown += len(fresh)
        return fresh


def settle(rules: StopRules, text: str, final: bool) -> tuple[str, bool]:
    """What of `text` may be shown, and whether that is all whatever follows."""
    text, ended = _until_token(text, rules.tokens, final)
    if rules.prose:
        return text, ended
    text, looped = _until_loop(text)
    healed = _without_typed(text, rules.typed, final or ended or looped)
    if healed is None:
        return "", False
    final = final or ended or looped
    lines, stopped = _lines(rules, healed, final)
    done = ended or looped or stopped
    shown = _without_overlap("\n".join(lines), rules.rest)
    return (shown if shown.strip() else ""), done


def _until_token(text: str, tokens: tuple[str, ...], final: bool) -> tuple[str, bool]:
    found = [at for token in tokens if (at := text.find(token)) >= 0]
    if found:
        return text[: min(found)], True
    if final:
        return text, False
    held = max((_partial(text, token) for token in tokens), default=0)
    return text[: len(text) - held], False


def _partial(text: str, token: str) -> int:
    """How many characters at the end of `text` may be the beginning of `token`."""
    for length in range(min(len(token) - 1, len(text)), 0, -1):
        if text.endswith(token[:length]):
            return length
    return 0


_LOOP = re.compile(rf"([^\n]{{2,{_LOOP_LONGEST}}}?)\1{{{_LOOP_TIMES - 1}}}")


def _until_loop(text: str) -> tuple[str, bool]:
    """Cuts where a piece of a line with a word in it was said for the sixth time, whichever is said so first."""
    if not _LOOP.search(text):
        return text, False
    for end in range(2 * _LOOP_TIMES, len(text) + 1):
        for length in range(2, min(_LOOP_LONGEST, end // _LOOP_TIMES) + 1):
            unit = text[end - length : end]
            if "\n" not in unit and any(map(str.isalnum, unit)) and text.endswith(unit * _LOOP_TIMES, 0, end):
                return text[:end], True
    return text, False


def _without_typed(text: str, typed: str, final: bool) -> str | None:
    """Takes away the white space that stands before the cursor already; None while that is not decided."""
    taken = 0
    while taken < len(typed) and taken < len(text) and text[taken] in " \t":
        taken += 1
    if taken == len(text) and taken < len(typed) and not final:
        return None
    return text[taken:]


def _lines(rules: StopRules, text: str, final: bool) -> tuple[list[str], bool]:
    parts = text.split("\n")
    complete = len(parts) if final else len(parts) - 1
    kept: list[str] = []
    content = 0
    for number, line in enumerate(parts[:complete]):
        if _ends_before(rules, kept, line, content, number):
            return _shown(kept), True
        kept.append(line)
        content += bool(line.strip())
        if (content and rules.single_line) or number >= _LINES_LONGEST:
            return _shown(kept), True
        if content and number and rules.opened and _width(line) <= rules.indent and _CLOSER.match(line):
            return _shown(kept), True
    if final or content or not parts[-1].strip():
        return _shown(kept), False
    if (complete or rules.blank) and rules.below.strip().startswith(parts[-1].strip()):
        return _shown(kept), False  # it may become the line below the cursor
    return _shown([*kept, parts[-1]]), False


def _ends_before(rules: StopRules, kept: list[str], line: str, content: int, number: int) -> bool:
    """Whether the completion ends before this line; `kept` are the lines above, `content` of them not blank."""
    if not line.strip():
        blanks = len(kept) - len(_shown(kept)) + 1
        return blanks >= _BLANK_LINES if content else number > _LEADING_LINES
    if (number or rules.blank) and _repeats_below(rules.below, line):
        return True
    if not content:
        return False
    width = _width(line)
    if rules.opened:
        outside = width <= rules.indent and not _CLOSER.match(line)
    else:
        outside = width < rules.indent or (rules.indent == 0 == width and not kept[-1].strip())
    return outside or _loops(kept, line)


def _repeats_below(below: str, line: str) -> bool:
    if not below:
        return False
    return line.rstrip() == below or (len(below.strip()) >= 6 and line.strip() == below.strip())


def _loops(kept: list[str], line: str) -> bool:
    """The third time of the same line, or the second time of two to four lines in the same order."""
    lines = [*kept, line]
    if len(lines) >= 3 and lines[-1] == lines[-2] == lines[-3]:
        return True
    return any(len(lines) >= 2 * n and lines[-n:] == lines[-2 * n : -n] and any(map(str.strip, lines[-n:])) for n in (2, 3, 4))


def _shown(lines: list[str]) -> list[str]:
    """Without blank lines at the end: they are shown when a line with content follows."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]


def _without_overlap(text: str, rest: str) -> str:
    """Leaves out the end of the text that stands after the cursor already; while the text grows, it is held back."""
    if not rest.strip():
        return text.rstrip()
    follows = rest.strip()
    for length in range(min(len(text), len(follows)), 0, -1):
        if text.endswith(follows[:length]) and _surplus(text[:-length], follows[:length]):
            return text[:-length]
    return text


def _surplus(text: str, overlap: str) -> bool:
    """Whether the overlap repeats what follows the cursor, and is not the end of brackets that the text itself opened."""
    depth = 0
    for character in text:
        depth += (character in _BRACKETS.values()) - (character in _BRACKETS)
    return depth <= 0 or overlap[0] not in _BRACKETS


def _width(line: str) -> int:
    """Columns of indentation, a tab counted as four."""
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())
