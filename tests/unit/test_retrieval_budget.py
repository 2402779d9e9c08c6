"""Context is cut to the tokens that a prompt has room for."""

from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.retrieval import Snippet
from nearcode.retrieval.budget import cut, estimate_tokens

texts = st.lists(st.text("ab \t", max_size=30), min_size=1, max_size=12).map("\n".join)
snippets = st.lists(
    st.builds(lambda text, header: Snippet("r", "p.py", "b", 5, 5 + text.count("\n"), 0.5, text, header=header), texts,
              st.text("h", max_size=20)),
    max_size=8,
)  # fmt: skip


@given(snippets, st.integers(1, 200))
def test_the_budget_is_never_exceeded(found: list[Snippet], tokens: int) -> None:
    kept, rest = cut(found, tokens)
    assert sum(map(estimate_tokens, kept)) <= tokens
    assert len(kept) + len(rest) == len(found)


@given(snippets, st.integers(1, 200))
def test_what_is_kept_is_whole_but_for_one_that_keeps_its_first_lines(found: list[Snippet], tokens: int) -> None:
    kept, _ = cut(found, tokens)
    trimmed = [snippet for snippet in kept if snippet not in found]
    assert len(trimmed) <= 1
    for snippet in trimmed:
        original = next(each for each in found if each.text.startswith(snippet.text) and each.header == snippet.header)
        lines = snippet.end_line - snippet.start_line + 1
        assert snippet.text == "\n".join(original.text.splitlines()[:lines]).rstrip("\n")


@given(snippets)
def test_no_budget_keeps_everything(found: list[Snippet]) -> None:
    assert cut(found, 0) == (found, [])


def test_a_long_first_snippet_is_trimmed_after_the_whole_ones_that_fit() -> None:
    long = Snippet("r", "long.py", "b", 10, 59, 0.9, "\n".join(["x" * 20] * 50))
    short = Snippet("r", "short.py", "b", 1, 2, 0.8, "y" * 35)
    kept, rest = cut([long, short], 60)
    assert [each.path for each in kept] == ["long.py", "short.py"] and not rest
    assert (kept[0].start_line, kept[0].end_line) == (10, 17)
