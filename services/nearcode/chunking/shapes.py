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
    # Each definition by itself: short chunks of one subject, which a transformer that reads 256 tokens sees to their end.
    # A piece of 60 lines is about 600 tokens and one subject; a function of 120 stays whole: who asks for it wants it all.
    "definitions": Shape(piece=60, outline=120, longest=120),
    # What the static space takes. Against `definitions`, on questions made of 26 public packages in 7 languages
    # (benchmarks/chunk_shapes.py, which asked 19 more in 5 others with the same winner): nDCG@10 of documentation -> function
    # +.072 (95 % interval +.049 to +.096), documentation -> file +.015 (+.004 to +.028), code -> definitions that it uses +.046
    # (+.031 to +.064); of those, what 2,048 tokens show +.061 (+.037 to +.089), with 40 % fewer chunks. The price: of a
    # documented function, 512 tokens show .060 less. Longer ones (30 and 60 lines) pay .137; small ones of several kinds
    # merged (a class and a function) gain nothing more.
    "siblings": Shape(piece=60, outline=120, longest=120, tiny=20, together=40),
    # What a transformer with 256 tokens reads to its end: of the other shape it misses 44 % of the bytes (31 repositories), and
    # takes that much less time.
    "short": Shape(piece=24, outline=48, longest=24),
}
DEFINITIONS = SHAPES["definitions"]
