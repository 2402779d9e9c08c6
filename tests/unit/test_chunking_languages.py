"""A developer finds his code in pieces that follow its definitions, in every language that has a grammar."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.chunking.outline import outline
from nearcode.domain.chunk import Chunk
from nearcode.domain.languages import LANGUAGES, language_of
from nearcode.events.cutting import cut

SOURCES = Path(__file__).parents[1] / "corpus" / "languages"


@dataclass
class Piece:
    """A chunk as a person would describe it."""

    kind: str
    name: str
    lines: tuple[int, int]
    scopes: str = ""


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


EXPECTED = {
    "shop.py": [
        Piece("block", "logger", (1, 9)),
        Piece("class", "Order", (12, 31)),
        Piece("method", "__init__", (17, 18), "Order"),
        Piece("method", "total", (20, 23), "Order"),
        Piece("method", "ship", (25, 31), "Order"),
        Piece("function", "with_tax", (34, 36)),
    ],
    "cart.js": [
        Piece("block", "LIMIT", (1, 4)),
        Piece("function", "total", (6, 9)),
        Piece("class", "Cart", (11, 23)),
        Piece("method", "add", (14, 18), "Cart"),
        Piece("method", "remove", (20, 22), "Cart"),
        Piece("function", "CartView", (25, 28)),
        Piece("function", "clear", (30, 32)),
        Piece("block", "", (34, 34)),
    ],
    "client.ts": [
        Piece("block", "", (1, 2)),
        Piece("class", "Transport", (4, 7)),
        Piece("class", "Handler", (9, 11)),
        Piece("class", "State", (13, 16)),
        Piece("class", "Client", (18, 31)),
        Piece("method", "constructor", (22, 24), "Client"),
        Piece("method", "send", (26, 28), "Client"),
        Piece("function", "encode", (34, 36), "Wire.Format"),
    ],
    "button.tsx": [Piece("block", "", (1, 1)), Piece("class", "Props", (3, 5)), Piece("function", "Button", (7, 13))],
    "Account.java": [
        Piece("block", "", (1, 4)),
        Piece("class", "Account", (6, 29)),
        Piece("method", "Account", (11, 13), "Account"),
        Piece("method", "withdraw", (15, 22), "Account"),
        Piece("class", "Listener", (24, 26), "Account"),
    ],
    "server.go": [
        Piece("block", "DefaultPort", (1, 8)),
        Piece("class", "Server", (10, 14)),
        Piece("class", "Handler", (16, 18)),
        Piece("method", "Listen", (20, 24), "Server"),
        Piece("function", "New", (26, 28)),
    ],
    "cache.rs": [
        Piece("block", "CAPACITY", (1, 4)),
        Piece("class", "Cache", (6, 10)),
        Piece("class", "Evict", (12, 14)),
        Piece("class", "", (16, 23)),
        Piece("method", "evict", (17, 22), "Cache"),
        Piece("function", "fresh", (25, 27)),
        Piece("function", "cached", (29, 33)),
        Piece("block", "", (36, 36), "tests"),
        Piece("function", "evicts", (38, 41), "tests"),
    ],
    "list.c": [
        Piece("block", "LIST_MAX", (1, 5)),
        Piece("function", "LIST_EACH", (6, 7)),
        Piece("class", "node_t", (9, 12)),
        Piece("class", "order", (14, 17)),
        Piece("block", "list_free", (19, 21)),
        Piece("function", "list_push", (23, 29)),
    ],
    "shape.cpp": [
        Piece("block", "", (1, 4)),
        Piece("class", "Shape", (6, 22), "geometry"),
        Piece("method", "Shape", (10, 12), "geometry.Shape"),
        Piece("method", "operator==", (16, 18), "geometry.Shape"),
        Piece("method", "area", (24, 26), "geometry.Circle"),
        Piece("method", "points", (28, 30), "geometry.Circle"),
    ],
    "header.h": [
        Piece("block", "", (1, 2)),
        Piece("class", "Peer", (3, 8), "net"),
        Piece("method", "greet", (5, 7), "net.Peer"),
    ],
    "Repo.cs": [
        Piece("block", "", (1, 4)),
        Piece("class", "OrderRepository", (6, 23), "Example.Shop"),
        Piece("method", "OrderRepository", (14, 17), "Example.Shop.OrderRepository"),
        Piece("method", "FindAsync", (19, 22), "Example.Shop.OrderRepository"),
        Piece("class", "IOrders", (25, 28), "Example.Shop"),
    ],
    "player.rb": [
        Piece("block", "", (1, 2)),
        Piece("class", "Music", (4, 31)),
        Piece("class", "Player", (7, 30), "Music"),
        Piece("method", "initialize", (12, 14), "Music.Player"),
        Piece("method", "play", (16, 19), "Music.Player"),
        Piece("method", "default", (22, 24), "Music.Player"),
        Piece("method", "named", (27, 29), "Music.Player"),
    ],
    "Mailer.php": [
        Piece("block", "RETRIES", (1, 10)),
        Piece("class", "Mailer", (12, 32)),
        Piece("method", "__construct", (21, 24), "Mailer"),
        Piece("method", "send", (26, 31), "Mailer"),
        Piece("function", "render_mail", (34, 37)),
    ],
    "deploy.sh": [Piece("lines", "build", (1, 10))],
    "Song.kt": [Piece("lines", "Song", (1, 13))],
}

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
        "python", "tsx", "bash", "ruby", "cmake", "bash",
    ]  # fmt: skip
    assert name_of("bin/tool", b"#!/usr/bin/env -S python3.12 -u\n") == "python"
    assert name_of("bin/tool", b"#!/bin/sh\n") == "bash"
    for path in ("README.md", "a.json", "package-lock.json", "x.lock", "logo.svg", "data.csv", "x.min.js", "bin/tool", ""):
        assert language_of(path) is None, path
    assert sum(1 for language in LANGUAGES.values() if language.grammar) == 12


def test_a_header_with_classes_is_read_as_cpp_and_one_without_as_c() -> None:
    assert chunks_of("header.h")[0].language == "cpp"
    assert outline("x.h", b"int add(int a,\n        int b);\n").language == "c"
