"""What is known of a source once it was parsed; nothing here needs a parser."""

from dataclasses import dataclass, field

from nearcode.chunking.lines import Lines

Span = tuple[int, int]
"""Start and end in bytes, end excluded."""

WHOLE = {"function": 120, "section": 60}
"""Lines. A longer function or section is cut, along the definitions it holds if it holds any (a module wrapped in one
function); a shorter one is shown whole."""


@dataclass(slots=True)
class Definition:
    """A class, function, section or namespace; lines are 0-based. `first` includes decorators and the doc comment above, `lead`
    only decorators; its head is `head_first` to `head_last`. `outer` is the number of scopes around it."""

    kind: str
    start: int
    end: int
    names: list[Span] = field(default_factory=list)
    scope: Span | None = None
    body: int | None = None
    lead: int = 0
    first: int = 0
    head_first: int = 0
    head_last: int = 0
    last: int = 0
    depth: int = 0
    outer: int = 0
    member: bool = False
    signature: Span = (0, 0)
    docstring: Span | None = None
    children: list["Definition"] = field(default_factory=list)

    def is_class(self) -> bool:
        """Whether its own chunk is an outline of its members."""
        return self.kind in ("class", "extension", "section")

    def holds_methods(self) -> bool:
        """Whether functions in it are methods: of a class, or of a nameless part of one (Ruby's `class << self`)."""
        return self.kind in ("class", "extension") or (self.kind == "namespace" and self.member and not self.names)

    def scope_name(self) -> Span | None:
        """What encloses its members is called this."""
        return self.names[0] if self.names else self.scope


@dataclass(slots=True)
class Structure:
    """The definitions of a source and, sorted by position, the names defined outside of them, names used and imports."""

    lines: Lines
    roots: list[Definition]
    comments: bytearray
    defined: list[Span]
    references: list[Span]
    imports: list[Span]
