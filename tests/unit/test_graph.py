"""The graph says who imports whom, who defines what, who is alike and who tests whom; and says the same however it was made."""

import string
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.chunking.outline import outline
from nearcode.domain.artifact import Artifact, FileOutcome, Snapshot
from nearcode.domain.graph import GraphFacts, Import, Links, Project, join_links, pack_links, split_links, unpack_links
from nearcode.domain.imports import ecmascript_imports, python_imports
from nearcode.domain.repository import FileState, FileVersion, blob_id
from nearcode.embedding.links import file_links
from nearcode.events.cutting import cut
from nearcode.ingestion.projects import project_kind, read_project
from nearcode.retrieval.graph import Graph
from nearcode.retrieval.imports import read_imports, written_imports
from nearcode.retrieval.neighborhood import neighborhood

from tests.unit.graph_trees import Files, graph

SHOP: Files = {
    "shop/__init__.py": ([Import(".cart", ("Cart",)), Import(".tax", ("vat",))], []),
    "shop/cart.py": (["decimal", Import(".tax", ("vat",)), "rare_library"], ["Cart", "add_item"]),
    "shop/tax.py": (["decimal"], ["vat", "VAT_RATE"]),
    "shop/order_view.py": (["json", Import(".cart", ("Cart",)), "rare_library"], ["OrderView", "addItem"]),
    "shop/order_form.py": (["json"], ["OrderForm"]),
    "tests/test_cart.py": ([Import("shop", ("Cart",)), "pytest"], ["test_total"]),
    "tests/test_all.py": ([Import("shop.tax", ("vat",)), "pytest"], ["test_all"]),
}


def test_imports_and_importers_behind_a_package_that_only_passes_names_on() -> None:
    shop = graph(SHOP)
    assert shop.imports_of("shop/__init__.py") == ("shop/cart.py", "shop/tax.py")
    assert shop.imports_of("tests/test_cart.py") == ("shop/__init__.py", "shop/cart.py")
    assert shop.importers_of("shop/cart.py") == ("shop/__init__.py", "shop/order_view.py", "tests/test_cart.py")
    assert shop.imports_of("gone.py") == shop.importers_of("gone.py") == ()


def test_a_file_that_is_not_stored_yet_resolves_what_it_imports() -> None:
    shop = graph(SHOP)
    assert shop.resolve("shop/new.py", [Import(".cart", ("Cart",)), Import("json")]) == ("shop/cart.py",)
    assert shop.resolve("main.py", [Import("shop", ("Cart",))]) == ("shop/__init__.py", "shop/cart.py")


def test_files_that_import_the_same_are_alike_the_more_the_rarer_it_is() -> None:
    shop = graph(SHOP)
    found = shop.similar_imports("shop/order_view.py", shop.written_imports("shop/order_view.py"), 10)
    strengths = {each.path: each.strength for each in found}
    assert "shop/order_view.py" not in strengths
    assert strengths["shop/cart.py"] > 0.1 and strengths["shop/order_form.py"] > 0.1
    assert all(0.0 < strength <= 1.0 for strength in strengths.values())
    [alone] = shop.similar_imports("new.py", [Import("rare_library"), Import("pytest")], 1)
    assert alone.path in ("shop/cart.py", "shop/order_view.py", "tests/test_cart.py", "tests/test_all.py")
    assert shop.similar_imports("new.py", [Import("nobody_else")], 5) == []


def test_definitions_are_found_by_their_name_and_however_it_is_spelled() -> None:
    shop = graph(SHOP)
    assert shop.defines("Cart") == ("shop/cart.py",) and shop.defines("cart") == ()
    assert set(shop.spellings("AddItem")) == {"add_item", "addItem"}
    assert shop.spellings("vat_rate") == ("VAT_RATE",) and shop.spellings("nothing") == ()


def test_files_that_use_a_name() -> None:
    shop = graph(SHOP, uses={"shop/order_view.py": ["Cart", "render"], "shop/tax.py": ["cart"], "tests/test_all.py": ["vat"]})
    assert shop.users_of("Cart") == ("shop/order_view.py", "shop/tax.py")
    assert shop.users_of("nothing") == ()


def test_tests_of_a_file_and_files_of_a_test() -> None:
    shop = graph(SHOP)
    assert shop.tests_of("shop/cart.py") == ("tests/test_cart.py",)
    assert shop.tests_of("shop/tax.py") == ("tests/test_all.py",)
    assert shop.tested_by("tests/test_cart.py") == ("shop/cart.py",)
    assert shop.tests_of("tests/test_cart.py") == ()
    others = graph(
        {path: ([], []) for path in ("a/Cart.java", "t/CartTest.java", "x/cart.go", "x/cart_test.go", "w/cart.spec.ts")}
    )
    assert set(others.tests_of("x/cart.go")) == {"x/cart_test.go", "t/CartTest.java", "w/cart.spec.ts"}
    assert others.tests_of("x/cart.go")[0] == "x/cart_test.go"


def test_what_much_is_imported_is_central() -> None:
    shop = graph(SHOP)
    assert shop.centrality("shop/tax.py") == shop.centrality("shop/cart.py") == 1.0
    assert 0.0 < shop.centrality("shop/__init__.py") < 1.0
    assert shop.centrality("shop/order_form.py") == shop.centrality("gone.py") == 0.0


def test_of_a_large_package_the_files_that_define_what_is_used() -> None:
    package: Files = {f"shop/part{number}.go": ([], [f"Thing{number}"]) for number in range(9)}
    files: Files = {"main.go": (["example.com/acme/app/shop"], ["main"]), **package}
    assert graph(files, {"main.go": ["Thing3", "fmt"]}).imports_of("main.go") == ("shop/part3.go",)
    assert len(graph(files).imports_of("main.go")) == 9
    edited = graph(files).resolve("other.go", [Import("example.com/acme/app/shop")], used=["Thing5"])
    assert edited == ("shop/part5.go",)


def test_what_lies_around_a_file_and_why() -> None:
    around = neighborhood("shop", graph(SHOP), "shop/order_view.py", [Import(".cart", ("Cart",)), Import("json")])
    cart, form = around.signals("shop/cart.py"), around.signals("shop/order_form.py")
    assert (cart.imported, cart.same_folder, form.imported, form.same_folder) == (1.0, 1.0, 0.0, 1.0)
    assert form.similar_imports > 0.0 and form.similar_name > 0.0 and cart.central == 1.0
    assert 0.0 < around.signals("shop/tax.py").imported < 1.0
    assert around.signals("nowhere.py").strength == 0.0
    assert "shop/order_view.py" not in around.paths()
    assert around.paths(1) == ("shop/cart.py",)


def test_a_long_list_of_uses_names_its_files_and_one_that_does_not_fit_hides_no_other_import() -> None:
    parts = [f"a_module_with_a_name_{number}" for number in range(40)]
    listed = ", ".join(f"{part}::Thing" for part in parts)
    facade = f"use crate::{{{listed}}};\nuse crate::tax;\n"
    roomy = "".join(f"pub fn step_{number}() -> usize {{\n    {number}\n}}\n\n" for number in range(300))
    files = {"src/lib.rs": facade + roomy, "src/main.rs": facade, "src/tax.rs": ""} | {f"src/{part}.rs": "" for part in parts}
    links = {}
    for path, text in files.items():
        found = outline(path, text.encode())
        found.file.path = path
        links[path] = file_links(found, list(cut("r1", found, text.encode())), text.encode())
    known = Graph(GraphFacts(links, {}, ()))
    assert set(known.imports_of("src/lib.rs")) == files.keys() - {"src/lib.rs", "src/main.rs"}
    assert known.imports_of("src/main.rs") == ("src/tax.rs",)


names = st.text(st.sampled_from(string.ascii_letters + "_é日 .:"), min_size=1, max_size=12)
imports = st.lists(st.builds(Import, names, st.lists(names, max_size=3).map(tuple)), max_size=6).map(tuple)
links = st.builds(Links, imports, st.lists(names, max_size=6).map(tuple))


@given(links, st.integers(0, 400))
def test_packed_links_fit_and_say_what_they_hold(given_links: Links, room: int) -> None:
    packed = pack_links(given_links, room)
    assert len(packed) <= room
    again = unpack_links(packed)
    assert pack_links(again, room) == packed
    whole = unpack_links(pack_links(given_links, 10_000))
    assert set(whole.definitions) == set(given_links.definitions)
    for kept, every in ((again.imports, whole.imports), (again.definitions, whole.definitions)):
        remaining = iter(every)
        assert all(one in remaining for one in kept), "another order"


@given(st.lists(links, max_size=5))
def test_links_of_a_batch_come_apart_again(files: list[Links]) -> None:
    packed = [pack_links(each, 500) for each in files]
    assert list(split_links(join_links(packed), len(packed))) == packed
    assert list(split_links(b"", len(packed))) == [b""] * len(packed)


paths = st.sampled_from(["a.py", "b.py", "pkg/__init__.py", "pkg/c.py", "pkg/d.py", "tests/test_c.py"])
sources = st.lists(
    st.sampled_from(["import a", "from pkg import c, d", "from .c import x", "import pkg.d", "from . import c"]), max_size=4
)
revisions = st.lists(st.dictionaries(paths, sources.map("\n".join), max_size=6), min_size=1, max_size=5)


def index(files: dict[str, str], served: Artifact | None, aliases: str) -> Artifact:
    """A revision with these files, after the one before."""
    versions = [FileVersion(path, blob_id(text.encode()), len(text)) for path, text in sorted(files.items())]
    project = Project("tsconfig.json", "", "", {"*": (aliases,)})
    artifact = Artifact.plan("r1", "main", 1, Snapshot("c1", tuple(versions), (), (project,)), served)
    outcomes = []
    for file in artifact.pending():
        found = Links(python_imports(files[file.path]), (f"name{len(files[file.path])}",))
        terms = np.array([len(files[file.path])], "<u4").tobytes()
        outcomes.append(FileOutcome(file, FileState.INDEXED, "", 1, terms, pack_links(found, 1000)))
    artifact.apply(outcomes)
    return Artifact.load(artifact.dump())


@settings(deadline=None)
@given(revisions)
def test_a_graph_that_followed_every_change_equals_one_made_anew(history: list[dict[str, str]]) -> None:
    followed = None
    for number, files in enumerate(history):
        followed = index(files, followed, f"src{number}/*")
    clean = index(history[-1], None, f"src{len(history) - 1}/*")
    assert followed is not None
    assert followed.graph_facts() == clean.graph_facts()
    one, other = Graph(followed.graph_facts()), Graph(clean.graph_facts())
    for path in history[-1]:
        assert one.imports_of(path) == other.imports_of(path) and one.importers_of(path) == other.importers_of(path)


def test_what_imports_take_is_read_from_text() -> None:
    text = (
        "from a.b import (  # why\n    C as D,\n    e\n)\n"
        "import os, sys as s\ndef f():\n    from . import x\n# from no import y"
    )
    assert python_imports(text) == (Import("a.b", ("C", "e")), Import("os"), Import("sys"), Import(".", ("x",)))
    script = 'import D, { type A, b as c } from "./x";\nexport { E } from \'./y\';\nimport z from "z"'
    assert ecmascript_imports(script, ["./x", "./y", "z"]) == (Import("./x", ("A", "b")), Import("./y", ("E",)), Import("z"))


def test_a_cursor_reads_imports_as_they_are_stored() -> None:
    read = {path: [each.target for each in written_imports(path, text)] for path, text in {
        "a.go": 'package a\nimport "fmt"\nimport (\n\t"os"\n\tx "example.com/y"\n)',
        "a.rs": "mod tax;\npub use crate::a::{b,\n  c};",
        "a.c": '#include <stdio.h>\n#include "cart.h"', "A.java": "import com.acme.Cart;\nimport static a.B.*;",
        "a.php": "<?php\nuse Acme\\Cart;", "A.cs": "\ufeffusing System;\nusing Acme.Shop;",
        "a.rb": "require 'json'\nrequire_relative 'x'",
        "a.hs": "import qualified Data.Map as M", "a.ex": "  alias Shop.Cart", "a.sh": ". ./lib.sh",
    }.items()}  # fmt: skip
    assert read == {
        "a.go": ["fmt", "os", "example.com/y"], "a.rs": ["crate::a::{b, c}", "tax"], "a.c": ["<stdio.h>", "cart.h"],
        "A.java": ["com.acme.Cart", "a.B"], "a.php": ["Acme\\Cart"], "A.cs": ["System", "Acme.Shop"], "a.rb": ["json", "x"],
        "a.hs": ["Data.Map"], "a.ex": ["Shop.Cart"], "a.sh": ["./lib.sh"],
    }  # fmt: skip


HOSTILE = (
    "from" + " " * 200_000, "from " + "." * 200_000, "from a import (" * 10_000, "import " + "a," * 100_000, "\n" * 200_000,
    "export{" * 30_000, ("import " * 28 + "{" + "a" * 3900) * 40, "use " * 50_000, "#" * 200_000, "import a" + " " * 200_000,
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_file_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    python_imports(text)
    ecmascript_imports(text, ["x"])
    for path in ("a.py", "a.js", "a.go", "a.rs", "a.c", "A.java", "a.sh"):
        written_imports(path, text)
        read_imports(path, text[:20_000])
    assert time.process_time() - began < 3.0


def test_a_project_file_that_says_nothing_or_nonsense_is_none() -> None:
    assert project_kind("web/tsconfig.app.json") == "tsconfig.json" and project_kind("a/settings.json") == ""
    for path, text in {"package.json": "{", "Cargo.toml": "= 1", "go.mod": "// empty", "tsconfig.json": "[]"}.items():
        assert read_project(path, text.encode()) is None
    assert read_project("package.json", b'{"exports": 7, "name": 3}') is None
    assert read_project("composer.json", b'{"autoload": []}') is None
    assert read_project("x/go.mod", b"\xff") is None
    assert GraphFacts({}, {}).projects == ()
