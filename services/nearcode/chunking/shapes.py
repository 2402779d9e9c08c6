"""How long chunks may be. Which shape an index space takes is a setting, because each space serves another model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Limits in lines. A definition longer than `longest` is cut into pieces of `piece` lines, and so is what lies between
    definitions; a class's outline takes `outline` lines, fields beyond them become pieces of their own. Neighboring definitions
    of at most `tiny` lines are one chunk while they take `together` lines."""

    piece: int
    outline: int
    longest: int
    tiny: int = 0
    together: int = 0


SHAPES = {
    # A piece of 60 lines is about 600 tokens and one subject; a function of 120 stays whole: who asks for it wants it all.
    "definitions": Shape(piece=60, outline=120, longest=120),
    # What a transformer with 256 tokens reads to its end: of the other shape it misses 44 % of the bytes (31 repositories), and
    # takes that much less time.
    "short": Shape(piece=24, outline=48, longest=24),
}
DEFINITIONS = SHAPES["definitions"]
