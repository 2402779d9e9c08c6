"""Words of code and the lexical vectors made of them."""

import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.sparse import AVERAGE_LENGTH, K1, B, document_vector, document_vectors, file_terms
from nearcode.domain.terms import (
    count_identifiers,
    count_terms,
    count_words,
    identifier_terms,
    identifiers,
    path_words,
    split_identifier,
    term_id,
)

code = st.text(st.sampled_from("aAbBzZ09__ .(éÉß日\n"), max_size=80)


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("getHTTPResponse2", ("get", "http", "response", "2")),
        ("snake_case_name", ("snake", "case", "name")),
        ("__init__", ("init",)),
        ("SCREAMING_CASE", ("screaming", "case")),
        ("utf8Decoder", ("utf", "8", "decoder")),
        ("größeÄndern", ("größe", "ändern")),
        ("日本語", ("日本語",)),
        ("x", ("x",)),
        ("_", ()),
    ],
)
def test_an_identifier_is_split_into_the_words_a_person_reads(identifier: str, words: tuple[str, ...]) -> None:
    assert split_identifier(identifier) == words


@given(st.text(st.sampled_from("aAbBzZ09_"), min_size=1, max_size=60))
def test_the_words_of_an_identifier_rejoin_to_it(identifier: str) -> None:
    assert "".join(split_identifier(identifier)) == identifier.lower().replace("_", "")


@given(st.text(max_size=100) | st.text(st.sampled_from("aZ09_x. \n-\x1f"), max_size=60))
def test_any_text_is_counted_the_same_in_every_way(text: str) -> None:
    assert list(count_identifiers(text).items()) == list(Counter(identifiers(text)).items())
    words, terms = count_words(text), count_terms(text)
    assert all(terms[word] >= count for word, count in words.items())
    assert all(word == word.lower() or not word.isascii() for word in words)


@given(code, code)
def test_counts_of_two_texts_add_up(one: str, other: str) -> None:
    assert count_terms(one) + count_terms(other) == count_terms(one + "\n" + other)


def test_data_is_no_identifier() -> None:
    assert identifiers("key = " + "Q" * 10_000) == ["key"]
    assert set(count_identifiers("key = " + "Q" * 10_000)) == {"key"}


def test_a_compound_name_counts_as_itself_too() -> None:
    assert identifier_terms("getResponse") == ("get", "response", "getresponse")
    assert identifier_terms("response") == ("response",)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("django/db/models/query_utils.py", ("db", "models", "query", "utils")),
        ("setup.py", ("setup",)),
        ("Makefile", ("makefile",)),
        (".gitignore", ("gitignore",)),
        ("src/userService/UserService.test.ts", ("src", "user", "service", "test")),
        ("", ()),
    ],
)
def test_a_path_gives_the_words_of_two_folders_and_the_name(path: str, words: tuple[str, ...]) -> None:
    assert path_words(path) == words


@given(st.lists(code, max_size=5), st.lists(st.text(st.sampled_from("abAB_"), min_size=1, max_size=8), max_size=3))
def test_lexical_vectors_are_those_of_each_text_alone(texts: list[str], names: list[str]) -> None:
    counts = [count_identifiers(text) for text in texts]
    together = document_vectors(counts, [names] * len(counts))
    for each, vector in zip(counts, together, strict=True):
        alone = document_vector(each, names)
        assert alone.indices.tobytes() == vector.indices.tobytes() and alone.values.tobytes() == vector.values.tobytes()


def weight(tf: int, length: int) -> float:
    return tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / AVERAGE_LENGTH))


@given(code)
def test_a_lexical_vector_holds_each_term_once_in_order_and_saturated(text: str) -> None:
    vector = document_vector(count_identifiers(text))
    terms = count_terms(text)
    expected = {term_id(term): weight(tf, terms.total()) for term, tf in terms.items()}
    assert vector.indices.tolist() == sorted(expected)
    assert vector.indices.dtype == np.uint32 and vector.values.dtype == np.float32
    np.testing.assert_allclose(vector.values, [expected[term] for term in sorted(expected)], rtol=1e-6)
    assert (vector.values < K1 + 1).all()


def test_terms_that_collide_add_up() -> None:
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    vector = document_vector({"plumless": 2, "buckeroo": 1})
    assert len(vector.indices) == 1 and vector.values[0] == pytest.approx(weight(3, 3))


def test_a_word_tells_less_in_a_longer_chunk() -> None:
    short, long = document_vector({"save": 1}), document_vector({"save": 1, "other": 200})
    assert short.values[0] > 2 * long.values[long.indices.tolist().index(term_id("save"))]


def test_names_and_path_weigh_a_little_more() -> None:
    plain, named = document_vector({"save": 1}), document_vector({"save": 1}, ["save"])
    assert plain.values[0] < named.values[0] < 2 * plain.values[0]


def test_a_file_reports_the_terms_of_its_chunks_once_and_of_too_many_the_common_ones() -> None:
    vectors = document_vectors([{"self": 1, "alpha": 1}, {"self": 2, "beta": 1}, {"self": 1, "alpha": 3}])
    assert file_terms(vectors, 10).tolist() == sorted(map(term_id, ["self", "alpha", "beta"]))
    assert file_terms(vectors, 2).tolist() == sorted(map(term_id, ["self", "alpha"]))
    assert file_terms([], 10).tolist() == []
