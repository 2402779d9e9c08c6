"""Sources that try to crash, starve or confuse a parser; made anew for each test, the same each time."""

import random

BRACKETS = 20_000


def nested_parentheses() -> dict[str, bytes]:
    """A path for each of several languages, with 20,000 nested brackets."""
    opened, closed = b"(" * BRACKETS, b")" * BRACKETS
    return {
        "deep.py": b"x = " + opened + b"1" + closed + b"\n",
        "deep.js": b"let x = " + opened + b"1" + closed + b";\n",
        "deep.c": b"int x = " + opened + b"1" + closed + b";\n",
        "deep.rb": b"x = " + opened + b"1" + closed + b"\n",
        "deep.go": b"package p\nvar x = " + opened + b"1" + closed + b"\n",
        "deep.rs": b"fn f() { " + b"{" * BRACKETS + b"}" * BRACKETS + b" }\n",
        "deep.java": b"class A { int x = " + opened + b"1" + closed + b"; }\n",
        "open.cpp": b"int x = " + opened + b"\n",
    }


def in_lines(source: bytes, width: int = 100) -> bytes:
    """The same bytes with a line break after each `width`, so that they are not left out as minified."""
    return b"\n".join(source[start : start + width] for start in range(0, len(source), width))


def deep_without_brackets() -> dict[str, bytes]:
    """Deep trees that no bracket count finds."""
    return {
        "minus.c": in_lines(b"int x = " + b"- " * BRACKETS + b"1;"),
        "not.py": in_lines(b"x = (" + b"not " * BRACKETS + b"y)\n"),
        "sum.js": in_lines(b"x = 1" + b" + 1" * BRACKETS + b";\n"),
        "ladder.c": b"void f() {\n" + b"if (a) b();\nelse " * 5_000 + b"c();\n}\n",
        "indented.py": b"".join(b" " * depth + b"if x:\n" for depth in range(400)) + b" " * 400 + b"y\n",
        "classes.py": b"".join(b" " * depth + b"class A:\n" for depth in range(300)) + b" " * 300 + b"y = 1\n",
    }


def random_text(size: int, seed: int = 7) -> bytes:
    """Random bytes of ASCII, the worst there is for error recovery."""
    chosen = random.Random(seed)
    return bytes(chosen.choices(b"abcdefgh(){}[];,.<>=+-*/&|!?:'\"#\\@ \n\n\t0123456789", k=size))


def random_bytes(size: int, seed: int = 7) -> bytes:
    """Random bytes without NUL."""
    return bytes(random.Random(seed).choices(range(1, 256), k=size))
