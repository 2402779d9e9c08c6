"""Which files are indexed, and as which language: extensions, file names and first lines, as data.

A language with a `grammar` is cut along its definitions (`chunking/languages/<grammar>.toml`), every other by line windows.
Kinds that hold data or prose (md, yaml, json, csv) are not indexed, but can be cut when somebody asks for such a file. Lock
files and images are in no table.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Language:
    """A language that can be cut. `grammar` names its definition queries; empty: it is cut by line windows. `asked_only`: its
    files are no part of an index, only of what a person names (a pinned file, a scoped folder)."""

    name: str
    grammar: str = ""
    asked_only: bool = False


_GRAMMARS: Final = {
    "python": ".py .pyi .pyw .pyx .pxd SConstruct SConscript wscript",
    "javascript": ".js .jsx .mjs .cjs .es6 Jakefile",
    "typescript": ".ts .mts .cts",
    "tsx": ".tsx",
    "java": ".java",
    "go": ".go",
    "rust": ".rs",
    "c": ".c .h",
    "cpp": ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .ipp .tpp .inl .cu .cuh .ino",
    "csharp": ".cs .csx",
    "ruby": ".rb .rake .gemspec .ru .rbi .podspec Rakefile Gemfile Guardfile Capfile Vagrantfile Brewfile Podfile Fastfile",
    "php": ".php .phtml .php3 .php4 .php5 .php7 .php8",
    "bash": ".sh .bash .zsh .ksh .ebuild .bashrc .zshrc .profile .bash_profile",
    "css": ".css .pcss",
    "elixir": ".ex .exs",
    "haskell": ".hs .hsc",
    "html": ".html .htm .xhtml",
    "kotlin": ".kt .kts",
    "lua": ".lua .rockspec",
    "scala": ".scala .sc .sbt",
    "sql": ".sql .ddl .psql",
    "swift": ".swift",
    "zig": ".zig .zon",
}

_ASKED_GRAMMARS: Final = {"markdown": ".md .mkd .mdwn .mdown .mdtxt .markdown .mdx"}

_WINDOWS: Final = {
    "ada": ".adb .ads",
    "apex": ".trigger .apex",
    "assembly": ".asm .s .nasm",
    "astro": ".astro",
    "awk": ".awk",
    "batch": ".bat .cmd",
    "bats": ".bats",
    "bazel": ".bzl .bazel BUILD WORKSPACE",
    "bicep": ".bicep",
    "cabal": ".cabal",
    "clojure": ".clj .cljs .cljc .edn",
    "cmake": ".cmake CMakeLists.txt",
    "cobol": ".cob .cbl .cpy",
    "coffeescript": ".coffee",
    "common lisp": ".lisp .lsp .cl .asd",
    "crystal": ".cr",
    "cue": ".cue",
    "cypher": ".cypher",
    "cython": ".pxi",
    "d": ".d .di",
    "dart": ".dart",
    "dockerfile": ".dockerfile Dockerfile Containerfile",
    "elm": ".elm",
    "emacs lisp": ".el",
    "erlang": ".erl .hrl .escript",
    "f#": ".fs .fsi .fsx",
    "fish": ".fish",
    "fortran": ".f .for .f77 .f90 .f95 .f03 .f08",
    "gdscript": ".gd",
    "gleam": ".gleam",
    "glsl": ".glsl .vert .frag .geom .comp .hlsl .wgsl .metal .shader",
    "graphql": ".graphql .gql",
    "groovy": ".groovy .gradle .gvy Jenkinsfile",
    "haxe": ".hx",
    "idris": ".idr",
    "julia": ".jl",
    "just": ".just justfile Justfile",
    "lean": ".lean",
    "less": ".less .styl",
    "scss": ".scss .sass",
    "literate haskell": ".lhs",
    "luau": ".luau",
    "makefile": ".mk .mak Makefile makefile GNUmakefile",
    "meson": "meson.build meson_options.txt",
    "nim": ".nim .nims .nimble",
    "nix": ".nix",
    "objective-c": ".m .mm",
    "ocaml": ".ml .mli .mll .mly",
    "odin": ".odin",
    "pascal": ".pas .dpr .pp .lpr",
    "perl": ".pl .pm .t .psgi",
    "plsql": ".pks .pkb .pls .plsql",
    "powershell": ".ps1 .psm1 .psd1",
    "prisma": ".prisma",
    "prolog": ".pro .prolog",
    "proto": ".proto",
    "puppet": ".epp",
    "purescript": ".purs",
    "qml": ".qml",
    "r": ".r",
    "racket": ".rkt",
    "raku": ".raku .rakumod",
    "reason": ".re .rei .res .resi",
    "rego": ".rego",
    "scheme": ".scm .ss .sld",
    "smalltalk": ".st",
    "solidity": ".sol",
    "starlark": ".star",
    "svelte": ".svelte",
    "systemverilog": ".sv .svh .v .vh",
    "tcl": ".tcl",
    "template": ".jinja .jinja2 .j2 .twig .erb .ejs .hbs .handlebars .mustache .liquid .haml .slim .pug .njk .cshtml .razor "
    ".jsp .tpl .blade .eex .heex .leex",
    "terraform": ".tf .hcl .nomad",
    "thrift": ".thrift",
    "vala": ".vala .vapi",
    "vb": ".vb .vbs .bas .cls",
    "vhdl": ".vhd .vhdl",
    "viml": ".vim .vimrc vimrc",
    "vue": ".vue",
    "wat": ".wat",
    "wolfram": ".wl .wls",
    "yacc": ".y .yy .l .lex .g4",
}

_ASKED_WINDOWS: Final = {
    "asciidoc": ".adoc .asciidoc",
    "csv": ".csv .tsv",
    "ini": ".ini .cfg .conf .properties .editorconfig",
    "json": ".json .jsonc .json5 .jsonl",
    "restructuredtext": ".rst",
    "text": ".txt .text .org .tex",
    "toml": ".toml",
    "xml": ".xml .xsd .xsl .svg .plist",
    "yaml": ".yaml .yml",
}

_LEFT_OUT: Final = (".min.js", ".min.mjs", ".min.css", ".bundle.js", "-min.js")
"""Built files: their sources are indexed instead."""

_SHEBANGS: Final = {
    "python": "python",
    "node": "javascript",
    "ruby": "ruby",
    "php": "php",
    "sh": "bash",
    "bash": "bash",
    "zsh": "bash",
    "ksh": "bash",
    "dash": "bash",
    "bats": "bats",
    "perl": "perl",
    "lua": "lua",
    "tclsh": "tcl",
    "awk": "awk",
    "rscript": "r",
    "escript": "erlang",
}


def _tables() -> tuple[MappingProxyType[str, Language], MappingProxyType[str, Language]]:
    by_name: dict[str, Language] = {}
    by_key: dict[str, Language] = {}
    for table, outlined, asked_only in (
        (_GRAMMARS, True, False),
        (_WINDOWS, False, False),
        (_ASKED_GRAMMARS, True, True),
        (_ASKED_WINDOWS, False, True),
    ):
        for name, keys in table.items():
            language = Language(name, name if outlined else "", asked_only)
            by_name[name] = language
            by_key.update(dict.fromkeys(keys.split(), language))
    return MappingProxyType(by_name), MappingProxyType(by_key)


LANGUAGES, _BY_KEY = _tables()
"""Every language by its name."""


def language_of(path: str, head: bytes = b"", asked: bool = False) -> Language | None:
    """The language of a file by its name; None: a kind that is not indexed. `asked`: also kinds that are cut only when asked.

    A name without extension is told by `head`, the file's first bytes, if they are given and hold a `#!` line.
    """
    language = _named(path, head)
    return language if language and (asked or not language.asked_only) else None


def _named(path: str, head: bytes) -> Language | None:
    name = path.rpartition("/")[2]
    if name in _BY_KEY and not name.startswith("."):
        return _BY_KEY[name]
    lower = name.lower()
    if lower.endswith(_LEFT_OUT):
        return None
    dot = lower.rfind(".")
    if dot >= 0:
        return _BY_KEY.get(lower[dot:])
    return _by_shebang(head)


def _by_shebang(head: bytes) -> Language | None:
    line = head[:200].partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return None
    words = [word.rpartition("/")[2] for word in line[2:].decode("latin-1").split()]
    programs = [word.rstrip("0123456789.") for word in words if word != "env" and not word.startswith("-")]
    return LANGUAGES.get(_SHEBANGS.get(programs[0].lower(), "")) if programs else None
