"""Words weigh what they tell, related words find each other, and questions are read for what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.retrieval import CodeCursor
from nearcode.domain.terms import count_identifiers, term_id
from nearcode.retrieval.cursor import current_definition, read_cursor
from nearcode.retrieval.files import file_facts
from nearcode.retrieval.fusion import dense_weight
from nearcode.retrieval.idf import PRIOR_FILE, Idf, load_prior
from nearcode.retrieval.imports import imported, read_imports
from nearcode.retrieval.question import read_question
from nearcode.retrieval.stems import held_stems, name_stems, relatives, stem, text_stems
from nearcode.retrieval.symbols import shape

from tests.unit.retrieval_world import MemoryRevision

PRIOR = load_prior()


@given(st.text(min_size=1, max_size=12))
def test_weights_lie_between_0_and_1(term: str) -> None:
    assert 0.0 <= Idf(PRIOR, []).weight(term_id(term)) <= 1.0


def test_rare_words_weigh_more_than_common_ones() -> None:
    idf = Idf(PRIOR, [])
    import_, parse, router, unheard = (idf.weight(term_id(word)) for word in ("import", "parse", "router", "xyzzyq"))
    assert import_ < parse < router < unheard == 1.0


def test_a_word_that_every_file_of_the_repository_holds_tells_little_there() -> None:
    everywhere = MemoryRevision("r", {f"{number}.py": "router" for number in range(400)})
    assert Idf(PRIOR, [everywhere]).weight(term_id("router")) < 0.3 < Idf(PRIOR, []).weight(term_id("router"))


def test_the_prior_stays_small() -> None:
    assert PRIOR_FILE.stat().st_size <= 300 * 1024


@given(st.lists(st.text("abcdeingsXYZ_.2 ÄÉß", max_size=16) | st.text(max_size=8), max_size=6), st.data())
def test_what_names_hold_is_found_without_splitting_all_of_them(names: list[str], data: st.DataObject) -> None:
    held = frozenset(one for name in names for one in name_stems(name))
    asked = data.draw(st.lists(st.sampled_from([*sorted(held), "route", "xyzzy"]), max_size=8))
    assert held_stems(names, asked) == held & frozenset(asked)


@given(st.lists(st.text("abcdeingsXYZ_.2 \n(ÄÉßİ", max_size=16) | st.text(max_size=8), max_size=6).map("".join), st.data())
def test_what_a_text_holds_is_found_without_reading_all_of_it(text: str, data: st.DataObject) -> None:
    names = count_identifiers(text)
    held = sorted(one for name in names for one in name_stems(name))
    asked = data.draw(st.lists(st.sampled_from([*held, "route", "xyzzy", ""]), max_size=8))
    assert text_stems(text, asked) == held_stems(names, asked)


def test_data_is_no_name() -> None:
    assert text_stems(f"router {'parse' * 100}", [stem("router"), stem("parse")]) == {stem("router")}


@pytest.mark.parametrize(
    "family", ["route routes router routing routed", "parse parser parsing", "validate validation validator", "query queries"]
)
def test_related_words_share_a_stem(family: str) -> None:
    assert len({stem(word) for word in family.split()}) == 1


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=14))
def test_relatives_share_the_stem_and_are_others(word: str) -> None:
    assert all(stem(other) == stem(word) and other != word for other in relatives(word))


@pytest.mark.parametrize(
    ("question", "names", "symbolic"),
    [
        ("Router", ("Router",), 1.0),
        ("Session.close()", ("close", "Session", "Session.close"), 1.0),
        ("std::vector", ("vector", "std", "std::vector"), 1.0),
        ("how are routes matched", (), 0.0),
        ("where is parse_args called", ("parse_args",), 1 / 2),
    ],
)
def test_names_in_questions_are_seen(question: str, names: tuple[str, ...], symbolic: float) -> None:
    looks = shape(question)
    assert (looks.names, looks.symbolic) == (names, symbolic)


def test_symbols_trust_words_and_questions_trust_meaning() -> None:
    assert dense_weight(shape("parse_args").symbolic) < 0.5 < dense_weight(shape("how do routes get matched").symbolic)


def test_error_messages_are_taken_by_the_word() -> None:
    assert shape("ValueError: invalid literal for int() with base 10").symbolic >= 0.5


def test_a_question_for_tests_asks_for_tests() -> None:
    assert "test" in read_question("which tests cover the parser").asked
    assert "test" not in read_question("how does the parser work").asked


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("tests/test_app.py", "test"),
        ("pkg/app_test.go", "test"),
        ("src/__tests__/app.ts", "test"),
        ("src/app.spec.ts", "test"),
        ("examples/hello/main.rs", "example"),
        ("api/user_pb2.py", "generated"),
        ("third_party/zlib/inflate.c", "vendored"),
        ("src/index.ts", "barrel"),
    ],
)
def test_kinds_of_files_are_told_by_their_path(path: str, kind: str) -> None:
    assert kind in file_facts(path).kinds


@pytest.mark.parametrize("path", ["src/app.py", "lib/latest.py", "src/contest.go", "src/inspector.ts", "protest/march.py"])
def test_ordinary_files_are_ordinary(path: str) -> None:
    assert not file_facts(path).kinds


@pytest.mark.parametrize(
    ("path", "code", "target"),
    [
        ("a/b/c.py", "from . import sibling", "a/b/sibling.py"),
        ("a/b/c.py", "from ..other import (\n    thing,\n)", "a/other.py"),
        ("a/b/c.py", "from .pkg import thing", "a/b/pkg/__init__.py"),
        ("x.py", "import shop.prices as p, os", "src/shop/prices.py"),
        ("x.py", "from shop.prices import discount", "shop/prices.py"),
        ("src/a.ts", "import { b } from './b'", "src/b.ts"),
        ("src/x/a.ts", 'import b from "../b"', "src/b/index.ts"),
        ("src/a.js", "const b = require('./lib/b.js')", "src/lib/b.js"),
        ("main.go", 'import (\n\t"fmt"\n\t"example.com/shop/internal/cart"\n)', "internal/cart/cart.go"),
        ("App.java", "import com.shop.cart.Cart;", "src/main/java/com/shop/cart/Cart.java"),
        ("src/main.rs", "use crate::cart::Cart;", "src/cart.rs"),
        ("src/a.c", '#include "net/socket.h"', "include/net/socket.h"),
        ("a.rb", "require_relative './cart'", "cart.rb"),
    ],
)
def test_imports_point_at_files(path: str, code: str, target: str) -> None:
    imports = read_imports(path, code)
    assert imported(imports, target) > 0 == imported(imports, "unrelated/zebra.py")


def test_a_cursor_asks_with_the_code_around_it() -> None:
    before = "import shop\n" + "old = 1\n" * 40 + "class Cart:\n    def total(self):\n        return compute_sum("
    intent = read_cursor(CodeCursor("shop/cart.py", before, ")\n\nlast_words = 2\n" + "x = 1\n" * 10 + "too_far = 3"))
    assert current_definition(before) == "total"
    assert "compute_sum" in intent.names and "total" not in intent.names
    assert {"compute_sum", "last_words"} <= set(intent.terms) and "too_far" not in intent.terms
    assert intent.edited and intent.edited.path == "shop/cart.py"
