"""What is read of an issue: its title counts most; links, versions and logs do not hide it."""

from hypothesis import given
from hypothesis import strategies as st
from nearcode.retrieval.fusion import ChatLane, Lanes
from nearcode.retrieval.idf import Idf, load_prior
from nearcode.retrieval.issue import CODE, TITLE, as_issue
from nearcode.retrieval.question import read_question
from nearcode.retrieval.ranker import weights_for

ISSUE = """Totals of an empty cart are negative

<!-- Please tell your version -->
Since https://example.org/pull/12 the page shows -1, see the tests of the checkout.

```python
basket = Basket()
basket.show_discount()
```

Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/shop/pricing.py", line 3, in show_discount

numpy==1.26.4
I import it with `from shop.checkout import Basket`.
"""


def test_words_of_the_title_count_most_and_those_of_code_least() -> None:
    intent = read_question(ISSUE)
    assert intent.terms["cart"] == TITLE
    assert intent.terms["page"] == 1.0
    assert intent.terms["discount"] == CODE
    shares = intent.word_shares(Idf(load_prior(), []))
    assert abs(sum(shares.values()) - 1.0) < 1e-9
    assert shares["cart"] == max(shares.values())


def test_links_comments_and_lists_of_versions_are_not_asked_for() -> None:
    intent = read_question(ISSUE)
    assert not {"https", "pull", "version", "numpy"} & intent.terms.keys()
    assert not any("example.org" in path for path in intent.paths)


def test_a_log_names_files_wherever_they_are_installed_and_imports_name_them_too() -> None:
    paths = read_question(ISSUE).paths
    assert "shop/pricing.py" in paths
    assert "shop/checkout.py" in paths


def test_an_issue_that_mentions_tests_does_not_ask_for_them_but_its_title_may() -> None:
    assert "test" not in read_question(ISSUE).asked
    assert "test" in read_question(f"Tests of the empty cart fail\n{ISSUE}").asked


def test_names_in_the_title_come_first() -> None:
    intent = read_question(ISSUE.replace("an empty cart", "`Cart.empty_total()`"))
    assert intent.names[0] == "empty_total"


def test_questions_code_and_logs_are_no_issues() -> None:
    assert as_issue("how are the totals of an empty cart computed and where are they shown to those who want to buy?") is None
    assert as_issue("where is the cart?\nand where are its totals?") is None
    code = "def total(cart):\n" + "    value = sum(each.price for each in cart if each.price)\n" * 8
    assert as_issue(code) is None
    assert as_issue("Traceback (most recent call last):\n" + '  File "a.py", line 3, in total of cart\n' * 8) is None


def test_issues_are_ranked_by_weights_of_their_own() -> None:
    assert read_question(ISSUE).issue
    assert not read_question("how are the totals of a cart computed").issue
    assert weights_for(Lanes(), issue=True) != weights_for(Lanes())
    assert "chat" in weights_for(Lanes(chat=ChatLane([])), issue=True)


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    for question in (text, f"The total is wrong\n{text}\n{'word ' * 20}"):
        intent = read_question(question)
        assert set(intent.emphasis) <= set(intent.stems)
        assert all(weight > 0.0 for weight in intent.terms.values())
