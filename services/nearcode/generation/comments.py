"""How a language writes comments, by file name."""

from pathlib import PurePosixPath

_HASH = ("#", "")
_STYLES = (
    (_HASH, "py pyi pyx rb sh bash zsh yaml yml toml r pl pm ex exs jl nix tf cmake mk ps1 cfg conf"),
    (
        ("//", ""),
        "js jsx mjs cjs ts tsx mts cts java go rs c h cc cpp cxx hpp hh cs php swift kt kts scala dart m mm proto zig",
    ),
    (("//", ""), "groovy gradle v sv"),
    (("--", ""), "sql lua hs elm ada adb ads vhd vhdl"),
    (("/*", " */"), "css scss less"),
    (("<!--", " -->"), "html htm xml svg vue svelte md"),
    ((";;", ""), "clj cljs lisp el scm asm"),
    (("%", ""), "tex erl hrl"),
)
_BY_SUFFIX = {suffix: style for style, suffixes in _STYLES for suffix in suffixes.split()}


def comment(path: str, text: str) -> str:
    """`text` as comment lines of the language that `path` is written in; `#` where it is unknown."""
    opener, closer = _BY_SUFFIX.get(PurePosixPath(path).suffix[1:].lower(), _HASH)
    return "".join(f"{opener} {line}{closer}".rstrip() + "\n" for line in text.splitlines())
