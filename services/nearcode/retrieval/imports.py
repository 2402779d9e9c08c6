"""What the edited file imports, and which files those are likely to be.

Modules become tuples of path parts; a file is imported if its own parts end with them. No build system is asked, so a short
module name may fit several files: the more parts match, the surer.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from nearcode.domain.graph import Import
from nearcode.domain.imports import ecmascript_imports, python_imports

_PYTHON_FROM = re.compile(r"^[ \t]*from\s+(?=[.\w])(\.*)((?:\w[\w.]*)?)\s+import\s+(\([^)]*\)?|[^\n#;]+)", re.M)
_PYTHON_IMPORT = re.compile(
    r"^[ \t]*import\s+([\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+(?:\s+as\s+\w+)?)*)[ \t]*(?:;[ \t]*)?$", re.M
)
_QUOTED = re.compile(
    r"""^[^\n"']*?\b(?:from|import|require(?:_relative|_once)?|include(?:_once)?|load)\b[ \t]*(?:\([ \t]*)?"""
    r"""["'<]([^"'>\n]+)["'>]""",
    re.M,
)
_GO_BLOCK = re.compile(r"^import\s*\(([^)]*)\)", re.M)
_GO_LINE = re.compile(r'"([^"\n]+)"')
_NAMES_FROM = re.compile(r"^[ \t]*(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?\{([^}]*)\}\s*from\b", re.M)
_DOTTED = re.compile(r"^[ \t]*(?:import(?:\s+static)?|use|using(?:\s+static)?)\s+([\w.:\\]+)", re.M)
_NAME = re.compile(r"[A-Za-z_]\w+")
_USE = re.compile(r"^[ \t]*(?:pub(?:\([^)\n]*\))?\s+)?use\s+([^;]{1,2000});", re.M)
_MODULE = re.compile(r"^[ \t]*(?:pub(?:\([^)\n]*\))?\s+)?mod\s+(\w+)\s*;", re.M)
_INCLUDE = re.compile(r"^[ \t]*#\s*(?:include|import)\s*(?:\"([^\"\n]+)\"|<([^>\n]+)>)", re.M)
_NAMED = re.compile(
    r"^[ \t]*(?:global\s+)?(?:import|using|alias|require|use|open)(?:\s+(?:static|qualified|lazy|type))*\s+"
    r"([\w.]+(?:\{[^}]{0,1000}\})?)", re.M
)  # fmt: skip
_SOURCED = re.compile(r"^[ \t]*(?:source|\.)\s+[\"']?([^\s\"';]+)", re.M)
_ECMASCRIPT = frozenset({".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte", ".astro"})
_USING = frozenset({".rs", ".php", ".phtml"})
_INCLUDING = frozenset({".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".inl", ".cu", ".cuh", ".m", ".mm", ".ino"})
_NAMING = frozenset({".java", ".kt", ".kts", ".scala", ".groovy", ".cs", ".ex", ".exs", ".hs", ".lhs", ".swift"})
_SEPARATOR = re.compile(r"[./:\\]+")
_ROOTS = frozenset({"src", "lib", "crate", "self", "super", "pkg", "app", "main", "java", "python", "include"})
_HERE = frozenset({"crate", "self", "super"})
_IMPORT_WORDS = frozenset({"import", "from", "as", "use", "using", "require", "include", "const", "type"})
_HOLLOW = frozenset({"__init__", "index", "mod"})
IMPORT_CHARACTERS = 20_000
"""Characters from the file's start in which imports are looked for."""
MOST_PARTS = 4
"""Parts of a module's name that are compared; more cannot make it surer."""


@dataclass(frozen=True, slots=True)
class Imports:
    """Imported modules as path parts, files named relative to the edited one (without extension), and imported names."""

    modules: frozenset[tuple[str, ...]]
    files: frozenset[tuple[str, ...]]
    names: frozenset[str]


def read_imports(path: str, prefix: str) -> Imports:
    """Reads the imports of the code before the cursor. Knows Python, JavaScript, Go, Java, C and their relatives."""
    modules: set[tuple[str, ...]] = set()
    files: set[tuple[str, ...]] = set()
    names: set[str] = set()
    folder = posixpath.dirname(path)
    if path.endswith((".py", ".pyi", ".pyx")):
        _read_python(folder, prefix, modules, files, names)
    else:
        _read_quoted(folder, prefix, modules, files)
        for match in _DOTTED.finditer(prefix):
            _add_dotted(match.group(1), modules, names)
        for match in _NAMES_FROM.finditer(prefix):
            names.update(_NAME.findall(match.group(1)))
    return Imports(frozenset(modules), frozenset(files), frozenset(names - {"as", "import", "type", "default"}))


def written_imports(path: str, prefix: str) -> tuple[Import, ...]:
    """The imports of the code before a cursor as they are written, in the form in which the graph holds those of files."""
    prefix = prefix[:IMPORT_CHARACTERS].removeprefix("\ufeff")
    extension = posixpath.splitext(path)[1].lower()
    if extension in (".py", ".pyi", ".pyx", ".pyw"):
        return python_imports(prefix)
    if extension in _ECMASCRIPT:
        return ecmascript_imports(prefix, _QUOTED.findall(prefix))
    if extension in _USING:
        targets = [*_USE.findall(prefix), *_MODULE.findall(prefix), *(_QUOTED.findall(prefix) if extension == ".php" else ())]
    elif extension in _INCLUDING:
        targets = [local or f"<{system}>" for local, system in _INCLUDE.findall(prefix)]
    elif extension in _NAMING:
        targets = [target.rstrip(".") for target in _NAMED.findall(prefix)]
    else:
        targets = [*_QUOTED.findall(prefix), *_SOURCED.findall(prefix)]
        for block in _GO_BLOCK.findall(prefix):
            targets += _GO_LINE.findall(block)
    return tuple(Import(" ".join(target.split())) for target in dict.fromkeys(targets))


def _read_python(folder: str, prefix: str, modules: set[tuple[str, ...]], files: set[tuple[str, ...]], names: set[str]) -> None:
    for match in _PYTHON_FROM.finditer(prefix):
        dots, module, imported = match.groups()
        found = [name for name in _NAME.findall(imported) if name != "as"]
        names.update(found)
        parts = tuple(part for part in module.split(".") if part)
        if dots:
            base = tuple(part for part in folder.split("/") if part)
            base = base[: len(base) - (len(dots) - 1)] + parts
            files.add(base)
            files.update((*base, name) for name in found)
        else:
            modules.add(parts[-MOST_PARTS:])
            modules.update((*parts, name)[-MOST_PARTS:] for name in found)
    for match in _PYTHON_IMPORT.finditer(prefix):
        for part in match.group(1).split(","):
            modules.add(tuple(part.split()[0].split("."))[-MOST_PARTS:])


def _read_quoted(folder: str, prefix: str, modules: set[tuple[str, ...]], files: set[tuple[str, ...]]) -> None:
    targets = _QUOTED.findall(prefix)
    for block in _GO_BLOCK.findall(prefix):
        targets += _GO_LINE.findall(block)
    for target in targets:
        if target.startswith("."):
            files.add(module_parts(posixpath.normpath(posixpath.join(folder, target))))
        else:
            modules.update(_targets(target))


def _targets(target: str) -> Iterable[tuple[str, ...]]:
    """The module that a quoted import names; behind a host's name (Go), also what may be left of it in its own repository."""
    parts = module_parts(target)
    shortest = 1 if "." in parts[0] else len(parts)
    return (parts[-length:] for length in range(min(shortest, MOST_PARTS), min(MOST_PARTS, len(parts)) + 1))


def _add_dotted(module: str, modules: set[tuple[str, ...]], names: set[str]) -> None:
    parts = tuple(part for part in _SEPARATOR.split(module) if part and part not in _HERE)
    if parts:
        modules.add(parts[-MOST_PARTS:])
        modules.add(parts[:-1][-MOST_PARTS:] or parts)
        names.add(parts[-1])


@lru_cache(maxsize=100_000)
def module_parts(path: str) -> tuple[str, ...]:
    """A file's path as a module: without extension, and without a last part that only stands for its folder."""
    *folders, name = path.split("/")
    plain = name.rsplit(".", 1)[0] if not name.startswith(".") else name
    parts = (*folders, plain)
    return parts[:-1] if plain in _HOLLOW and folders else parts


def imported(imports: Imports, path: str) -> float:
    """How surely a file is one of the imported: 1 for a relative import or a long match, less for a single common part."""
    parts = module_parts(path)
    if parts in imports.files:
        return 1.0
    if not imports.modules:
        return 0.0
    return max(_ending(parts, imports.modules), 0.5 * _ending(parts[:-1], imports.modules))


def _ending(parts: tuple[str, ...], modules: frozenset[tuple[str, ...]]) -> float:
    """1 if the last parts, or the only one, are a module; less for the last part alone of many; 0 if they are none."""
    if any(parts[-length:] in modules for length in range(2, min(MOST_PARTS, len(parts)) + 1)):
        return 1.0
    return (1.0 if len(parts) == 1 else 0.5) if parts[-1:] in modules else 0.0


@lru_cache(maxsize=10_000)
def import_words(imports: tuple[str, ...]) -> frozenset[str]:
    """The telling parts of import lines or module names as a chunk carries them, for comparing what two files import."""
    parts = (part for line in imports for part in _NAME.findall(line))
    return frozenset(part.lower() for part in parts) - _ROOTS - _IMPORT_WORDS


def edited_import_words(imports: Imports) -> frozenset[str]:
    """The same for the edited file."""
    parts = (part for module in imports.modules | imports.files for part in module)
    return frozenset(part.lower() for part in parts if len(part) > 1) - _ROOTS
