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
    # Each definition by itself: what a transformer that reads 256 tokens sees to its end. Documentation -> function of 6 public
    # packages, bge-small-en-v1.5 alone: nDCG@10 .719 and .818 in 512 tokens, with `siblings` .667 and .638.
    "definitions": Shape(piece=60, outline=120, longest=120),
    # What the static space takes. Against `definitions`, on questions made of 54 public packages in 14 languages
    # (benchmarks/chunk_shapes.py): nDCG@10 of documentation -> function +.058 (95 % interval +.045 to +.072), documentation ->
    # file +.011 (+.005 to +.018), code -> definitions that it uses +.039 (+.028 to +.051); of those, what 2,048 tokens show
    # +.041 (+.026 to +.057); no language chose otherwise, and there are 30 % fewer chunks. The price: of a documented function,
    # 512 tokens show .064 less. Chunks of 60 lines pay .140; merging small ones of several kinds gains nothing more.
    "siblings": Shape(piece=60, outline=120, longest=120, tiny=20, together=40),
    # What a transformer with 256 tokens reads to its end: of the other shape it misses 44 % of the bytes (31 repositories), and
    # takes that much less time.
    "short": Shape(piece=24, outline=48, longest=24),
}
DEFINITIONS = SHAPES["definitions"]
