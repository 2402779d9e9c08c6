"""A developer finds his code in pieces that follow its definitions, in every language that has a grammar."""

from pathlib import Path

import pytest
from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.chunking.outline import outline
from nearcode.domain.chunk import Chunk
from nearcode.domain.languages import LANGUAGES, language_of
from nearcode.events.cutting import cut

from tests.unit.chunked_languages import EXPECTED, Piece

SOURCES = Path(__file__).parents[1] / "corpus" / "languages"


def chunks_of(name: str) -> tuple[FileOutline, list[Chunk]]:
    source = (SOURCES / f"{name}.txt").read_bytes()
    found = outline(name, source)
    found.file.path = name
    return found, cut("r1", found, source)


def pieces_of(name: str) -> list[Piece]:
    return [
        Piece(
            chunk.kind,
            chunk.definitions[0] if chunk.definitions else "",
            (chunk.start_line, chunk.end_line),
            ".".join(chunk.scopes),
        )
        for chunk in chunks_of(name)[1]
    ]


IMPORTS = {
    "shop.py": ("logging", "decimal", "shop.stock"),
    "cart.js": ("react", "./format"),
    "client.ts": ("net", "./options"),
    "Account.java": ("java.util.List", "com.example.Money.euros"),
    "server.go": ("fmt", "github.com/example/log"),
    "cache.rs": ("std::collections::HashMap", "crate::clock::{Clock, Tick}", "super::*"),
    "list.c": ("<stdlib.h>", "list.h"),
    "Repo.cs": ("System.Collections.Generic", "Example.Data"),
    "player.rb": ("json", "lib/band"),
    "Mailer.php": ("App\\Models\\User", "Psr\\Log", "LoggerInterface", "NullLogger", "/helpers.php"),
    "Garden.kt": ("com.example.water.Pump", "kotlinx.coroutines.delay"),
    "Weather.swift": ("Foundation", "Sensors.Barometer"),
    "Ledger.scala": ("scala.collection.mutable", "bank.money.{Amount, Currency}"),
    "router.lua": ("vendor.json", "log"),
    "backup.sh": ("./lib/colors.sh", "/lib/log.sh"),
    "Parser.hs": ("Data.Map.Strict", "Data.Text"),
    "account.ex": ("GenServer", "Bank.{Ledger, Receipt}", "Ecto.Query", "Logger"),
    "queue.zig": ("std", "clock.zig"),
    "page.html": ("css/site.css", "js/lamp.js"),
    "theme.css": ("reset.css",),
}


def one(name: str, definition: str, kind: str = "") -> Chunk:
    return next(chunk for chunk in chunks_of(name)[1] if chunk.definitions[:1] == (definition,) and kind in ("", chunk.kind))


@pytest.mark.parametrize("name", EXPECTED)
def test_chunks_follow_definitions(name: str) -> None:
    assert pieces_of(name) == EXPECTED[name]


@pytest.mark.parametrize("name", IMPORTS)
def test_a_file_tells_what_it_imports(name: str) -> None:
    assert chunks_of(name)[1][0].imports == IMPORTS[name]


def test_a_class_chunk_shows_its_fields_and_the_heads_of_its_methods() -> None:
    text = one("shop.py", "Order").text
    assert '"""What a customer wants."""' in text and 'status = "new"' in text
    assert "    @property\n    def total(self) -> Decimal:" in text and "async def ship(self, stock: Stock):" in text
    assert "format_label" not in text and "self.lines = lines" not in text


def test_a_class_without_methods_is_shown_whole() -> None:
    assert one("server.go", "Server").text.endswith("route map[string]Handler\n}")


def test_a_method_comes_with_its_path_scope_signature_and_comment() -> None:
    ship = one("shop.py", "ship")
    assert ship.header.split("\n") == ["shop.py", "Order", "async def ship(self, stock: Stock):", "Sends it away."]
    assert ship.text.startswith("    # Sends it away.\n    async def ship")
    withdraw = one("Account.java", "withdraw")
    assert withdraw.header.split("\n")[-2:] == [
        "@Override public Receipt withdraw(Money amount) throws Overdrawn",
        "Takes money out.",
    ]


def test_nested_functions_stay_inside_and_can_be_found_by_name() -> None:
    assert one("shop.py", "ship").definitions == ("ship", "label")


def test_decorators_attributes_and_templates_belong_to_their_definition() -> None:
    assert one("shop.py", "total").text.startswith("    @property\n")
    assert one("cache.rs", "evict", "method").text.startswith("    /// Drops what is old.\n    #[inline]\n")
    assert one("shape.cpp", "Shape").text.startswith("// Something with an area.\ntemplate <typename T>\n")
    assert one("cart.js", "CartView").text.startswith("export const CartView")


@pytest.mark.parametrize(
    ("name", "definition", "used"),
    [
        ("shop.py", "ship", {"Stock", "hold", "format_label"}),
        ("cart.js", "add", {"push", "Receipt"}),
        ("client.ts", "send", {"Message", "encode"}),
        ("Account.java", "withdraw", {"Money", "Overdrawn", "check", "Receipt"}),
        ("server.go", "Listen", {"Server", "Option", "listenOn", "Sprintf"}),
        ("cache.rs", "fresh", {"Entry", "age", "Clock"}),
        ("list.c", "list_push", {"xmalloc", "list_t"}),
        ("shape.cpp", "area", {"pi", "pow"}),
        ("Repo.cs", "FindAsync", {"QueryAsync", "Key", "Order"}),
        ("player.rb", "play", {"decode", "Speaker", "emit"}),
        ("Mailer.php", "send", {"User", "Receipt", "Message", "render_mail"}),
        ("Garden.kt", "water", {"Receipt", "forEach", "open", "pause"}),
        ("Weather.swift", "latest", {"Reading", "StationError", "calibrate"}),
        ("Ledger.scala", "book", {"Entry", "Clock", "Validator", "check", "append"}),
        ("router.lua", "add", {"Router", "info", "Route", "make"}),
        ("backup.sh", "make_archive", {"tar", "say", "TARGET"}),
        ("Parser.hs", "parseMenu", {"Menu", "fromList", "concatMap", "splitLines"}),
        ("account.ex", "deposit", {"Logger", "info", "Ledger", "book"}),
        ("queue.zig", "normalize", {"Job", "print", "Clock", "stamp"}),
        ("orders.sql", "open_orders", {"orders", "customers"}),
    ],
)
def test_a_chunk_tells_which_names_it_uses(name: str, definition: str, used: set[str]) -> None:
    references = [chunk.references for chunk in chunks_of(name)[1] if chunk.definitions[:1] == (definition,)]
    assert any(used <= set(names) for names in references)


def test_the_language_of_a_file_is_told_by_its_name_or_its_first_line() -> None:
    def name_of(path: str, head: bytes = b"") -> str:
        language = language_of(path, head)
        return language.name if language else ""

    assert [name_of(path) for path in ("a/b.PY", "x.tsx", "lib/x.bats", "Rakefile", "CMakeLists.txt", ".bashrc")] == [
        "python", "tsx", "bats", "ruby", "cmake", "bash",
    ]  # fmt: skip
    assert name_of("bin/tool", b"#!/usr/bin/env -S python3.12 -u\n") == "python"
    assert name_of("bin/tool", b"#!/bin/sh\n") == "bash"
    for path in (
        "README.md",
        "notes.rst",
        "a.json",
        "package-lock.json",
        "x.lock",
        "logo.svg",
        "data.csv",
        "x.min.js",
        "bin/tool",
        "",
    ):
        assert language_of(path) is None, path
    assert sum(1 for language in LANGUAGES.values() if language.grammar) == 24


def test_prose_and_data_are_no_part_of_an_index_but_are_cut_when_asked_for() -> None:
    for path, name in {"README.md": "markdown", "a.json": "json", "notes.rst": "restructuredtext", "x.yml": "yaml"}.items():
        language = language_of(path, asked=True)
        assert language and (language.name, language.asked_only) == (name, True), path
    assert language_of("package-lock.lock", asked=True) is None


def test_clauses_and_signatures_of_one_function_are_one_chunk() -> None:
    assert one("Parser.hs", "keyed").text.startswith("keyed :: Dish -> [(Text, Dish)]\nkeyed (Dish n p)")
    assert one("Parser.hs", "parseMenu").header.split("\n")[1:] == [
        "parseMenu :: Text -> Menu",
        "Reads a whole menu. Lines that hold no dish are skipped.",
    ]
    source = b"defmodule A do\n" + b"".join(b"  def f(%d) do\n    %d\n  end\n\n" % (n, n) for n in range(3)) + b"end\n"
    assert [chunk.text.count("def f(") for chunk in cut("r", outline("a.ex", source), source)] == [1, 3]


def test_modules_and_functions_of_elixir_come_with_their_documentation() -> None:
    assert one("account.ex", "Bank.Account").header.split("\n")[-1] == "Holds the money of one customer."
    deposit = one("account.ex", "deposit")
    assert deposit.header.split("\n")[-1] == "Puts money in." and deposit.text.startswith('  @doc """\n  Puts money in.')


def test_hundreds_of_small_rules_and_elements_become_few_chunks() -> None:
    rules = b"".join(b".c%d {\n  color: red;\n}\n\n" % number for number in range(600))
    boxes = b"".join(b'<div id="d%d">\n  <p>text</p>\n</div>\n' % number for number in range(600))
    for path, source in {"a.css": rules, "a.html": b"<html>\n<body>\n" + boxes + b"</body>\n</html>\n"}.items():
        chunks = cut("r", outline(path, source), source)
        assert len(chunks) < 50 and all(chunk.end_line - chunk.start_line < 60 for chunk in chunks)
        assert len({name for chunk in chunks for name in chunk.definitions}) == 600


def test_a_long_text_is_cut_along_its_headings() -> None:
    parts = [f"## Part {number}\n\n" + f"About it, line by line {number}.\n" * 20 + "\n" for number in range(9)]
    source = ("# Manual\n\nWhat this is.\n\n" + "".join(parts)).encode()
    chunks = cut("r", outline("manual.md", source), source)
    assert [chunk.definitions[0] for chunk in chunks] == ["Manual", *(f"Part {number}" for number in range(9))]
    assert chunks[0].text.startswith("# Manual\n\nWhat this is.\n") and "## Part 8" in chunks[0].text
    assert chunks[3].scopes == ("Manual",) and chunks[3].kind == "section"


def test_a_header_with_classes_is_read_as_cpp_and_one_without_as_c() -> None:
    assert chunks_of("header.h")[0].language == "cpp"
    assert outline("x.h", b"int add(int a,\n        int b);\n").language == "c"
