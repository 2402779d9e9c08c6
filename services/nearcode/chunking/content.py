"""Files that are left out for what they hold."""

_LONG_LINE = 5_000
"""Bytes. Lines that people write are shorter."""

_LONG_AVERAGE = 500
"""Bytes. Average line of a file from which it counts as made by a machine; hand-written code has 20 to 60."""


def why_skipped(source: bytes) -> str:
    """Why a file of an indexed kind is left out; empty when it is not."""
    if b"\0" in source:
        return "binary"
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8 text"
    return "minified" if _minified(source) else ""


def _minified(source: bytes) -> bool:
    """Most of its bytes are in lines that nobody writes; one long literal in a hand-written file does not count."""
    if len(source) <= _LONG_LINE:
        return False
    if len(source) > _LONG_AVERAGE * (source.count(b"\n") + 1):
        return True
    long = sum(size for line in source.split(b"\n") if (size := len(line)) > _LONG_LINE)
    return 2 * long > len(source)
