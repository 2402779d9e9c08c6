"""What is known of the names of a text is what regular expressions say of each of its lines."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.terms import term_id
from nearcode.retrieval.names import Names, read_all

CODES = st.text("ab_XY2é² .(){}=\n", max_size=60) | st.text(max_size=20) | st.just("shop.Cart(total) 0x1f 2nd_x a.b.c(d)")


def told(names: Names) -> list[tuple[int, int, int]]:
    """Of each occurrence: its line, its name, the name before its dot."""
    hashes = names.hashes[names.places].tolist()
    return list(zip(names.lines.tolist(), hashes, names.before.tolist(), strict=True))


@settings(deadline=None)
@given(st.lists(CODES, max_size=5))
def test_every_name_is_found_in_its_line_with_the_one_before_its_dot(texts: list[str]) -> None:
    for text, names in zip(texts, read_all(texts), strict=True):
        expected: list[tuple[int, int, int]] = []
        uses: dict[str, list[tuple[int, bool, bool]]] = {}
        for number, line in enumerate(text.split("\n")):
            for found in re.finditer(r"[^\W\d]\w+", line):
                before, behind = line[: found.start()], line[found.end() :]
                owner = re.search(r"(\w+)\.$", before)
                expected.append((number, term_id(found.group()), term_id(owner.group(1)) if owner else 0))
                uses.setdefault(found.group(), []).append((1, before.endswith("."), behind.startswith("(")))
        assert told(names) == expected
        assert names.hashes.tolist() == [term_id(name) for name in uses]
        counted = [[sum(column) for column in zip(*each, strict=True)] for each in uses.values()]
        assert names.facts[:, 6:9].tolist() == counted


@settings(deadline=None)
@given(st.lists(CODES, max_size=5))
def test_a_line_is_said_to_take_what_its_letters_digits_and_marks_take(texts: list[str]) -> None:
    parts = ((r"[A-Za-z]+", 1.06), (r"\d", 1.31), (r"[^\w\s]", 0.77), (r"_", 0.76), (r"[a-z][A-Z]", 1.64))
    for text, names in zip(texts, read_all(texts), strict=True):
        lines, costs = text.split("\n"), names.costs.tolist()
        told = [1.18 * (1.14 + sum(tokens * len(re.findall(part, line)) for part, tokens in parts)) for line in lines]
        expected = [max(each, len(line) / 6.0) for each, line in zip(told, lines, strict=True)]
        assert all(abs(cost - each) < 1e-4 for cost, each in zip(costs, expected, strict=True))
