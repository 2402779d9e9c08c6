"""What imports take from modules, read from text: in Python that may be a module itself, in JavaScript the file that defines it
may lie behind an `index`, so names belong to the import."""

import re
from collections.abc import Iterable

from nearcode.domain.graph import Import

PYTHON = frozenset({"python", "cython"})
ECMASCRIPT = frozenset({"javascript", "typescript", "tsx"})
_MOST_NAMES = 64

# Counts are bounded, and no two neighbors match the same: a hostile file must not take time that grows with its square.
_FROM = re.compile(
    r"from[ \t]{1,8}(\.{1,20}[ \t]{0,4}(?:\w[\w.]{0,300})?|\w[\w.]{0,300})[ \t]{1,8}import\b[ \t]{0,8}"
    r"(\([^)]{0,8000}\)?|(?:[^\n#;\\]|\\\r?\n){1,2000})"
)
_MODULE = r"[\w.]+(?:[ \t]+as[ \t]+\w+)?"
_IMPORT = re.compile(rf"import[ \t]+({_MODULE}(?:[ \t]*,[ \t]*{_MODULE})*)[ \t]*(?=[\r\n;#]|\Z)")
_BRACES = re.compile(r"(?:import|export)\b[^;{}'\"]{0,200}\{([^{}]{0,4000})\}\s*from\s*['\"]([^'\"\n]+)['\"]")
_COMMENT = re.compile(r"#[^\n]*")
_NAME = re.compile(r"(\w+)(?:\s+as\s+\w+)?")


def python_imports(text: str) -> tuple[Import, ...]:
    """In order of the modules' first mention, each once with every name that is taken from it. What stands at the beginning of
    a line, also in a docstring, counts."""
    found: list[tuple[int, str, tuple[str, ...]]] = []
    for match in _FROM.finditer(text):
        if _begins(text, match.start()):
            names = _NAME.findall(_COMMENT.sub("", match.group(2)))
            found.append((match.start(), match.group(1).replace(" ", ""), tuple(names)))
    for match in _IMPORT.finditer(text):
        if _begins(text, match.start()):
            modules = [part.split()[0] for part in match.group(1).split(",")]
            found += [(match.start(), module, ()) for module in modules]
    merged: dict[str, dict[str, None]] = {}
    for _, module, taken in sorted(found):
        merged.setdefault(module, {}).update(dict.fromkeys(taken))
    return tuple(Import(module, tuple(names)[:_MOST_NAMES]) for module, names in merged.items() if module)


def ecmascript_imports(text: str, targets: Iterable[str]) -> tuple[Import, ...]:
    """The imports of a text with the names that are taken or passed on in braces; `targets` are those that a parser found."""
    named: dict[str, dict[str, None]] = {target: {} for target in targets}
    for names, target in _BRACES.findall(text):
        if target in named:
            plain = (name.strip().removeprefix("type ").split(" as ")[0].strip() for name in names.split(","))
            named[target].update(dict.fromkeys(name for name in plain if name.isidentifier() and name != "default"))
    return tuple(Import(target, tuple(names)[:_MOST_NAMES]) for target, names in named.items())


def _begins(text: str, at: int) -> bool:
    """Whether only blanks stand before on the line, or a statement that ends."""
    start = text.rfind("\n", 0, at) + 1
    before = text[start:at].strip()
    return not before or before in (">>>", "try:") or before.endswith(";")
