"""Languages as data: reads `languages/<name>.toml`, loads the wheel's grammar and compiles its queries, each once."""

import importlib
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from tree_sitter import Language, Parser, Query


@dataclass(frozen=True, slots=True)
class Grammar:
    """A parser with its two queries; `languages/README.md` says what their captures mean. `clauses`: functions of one name that
    follow each other are one definition."""

    name: str
    parser: Parser
    definitions: Query
    names: Query
    clauses: bool


@lru_cache(maxsize=32)
def grammar(name: str) -> Grammar:
    """The grammar called `name`, e.g. `python`. Not for use by several threads at once: it holds its parser."""
    data = _data(name)
    loader = getattr(importlib.import_module(data["module"]), data.get("function", "language"))
    language = Language(loader())
    definitions, names = Query(language, data["definitions"]), Query(language, data["names"])
    return Grammar(name, Parser(language), definitions, names, data.get("clauses", False))


def grammar_for(name: str, source: bytes) -> Grammar:
    """The grammar called `name`, or the one that its data names instead for a text like this (C++ in a `.h` file)."""
    instead = _instead(name)
    return grammar(instead[0] if instead and instead[1].search(source) else name)


@lru_cache(maxsize=32)
def _instead(name: str) -> tuple[str, re.Pattern[bytes]] | None:
    data = _data(name)
    return (data["instead"], re.compile(data["when"].encode(), re.MULTILINE)) if "instead" in data else None


@lru_cache(maxsize=32)
def _data(name: str) -> dict[str, Any]:
    text = resources.files("nearcode.chunking").joinpath("languages", f"{name}.toml").read_text(encoding="utf-8")
    own = tomllib.loads(text)
    parent = _data(own["like"]) if "like" in own else {}
    queries = {key: parent.get(key, "") + own.get(key, "") for key in ("definitions", "names")}
    return {**own, **queries}
