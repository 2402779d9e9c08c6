"""The distribution that carries our table: what its card says is what is in it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from nearcode.adapters.word_table import FILES, WordTable, pieces_of, shipped_folder
from nearcode.embedding.profiles import profile
from nearcode.embedding.settings import EmbeddingSettings

FOLDER = shipped_folder()


@pytest.mark.parametrize("name", FILES)
def test_the_card_names_the_files_that_are_shipped(name: str) -> None:
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
    assert f"`{name}` | `{digest}`" in (FOLDER / "MODEL_CARD.md").read_text("utf-8")


def test_license_and_notice_come_with_the_table() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text("utf-8")
    assert "MIT License" in (FOLDER / "NOTICE").read_text("utf-8")


def test_the_distribution_is_small() -> None:
    assert sum(path.stat().st_size for path in Path(FOLDER).rglob("*") if path.is_file()) <= 20_000_000


def test_the_table_is_the_default_model() -> None:
    named = profile(EmbeddingSettings().profile)
    assert named.static
    assert WordTable(FOLDER, named.dimensions).make(["parse"]).shape == (1, 256)


def test_a_word_that_is_not_in_the_table_resembles_its_parts() -> None:
    table = WordTable(FOLDER, 256)
    assert "databaserequest" not in (FOLDER / FILES[1]).read_text("utf-8").split("\n")
    made = table.make(["databaserequest", "request", "banana"]).astype(float)
    whole, part, other = (row / np.linalg.norm(row) for row in made)
    assert whole @ part > whole @ other + 0.2


def test_letters_of_which_nothing_is_known_say_nothing() -> None:
    assert not WordTable(FOLDER, 256).make(["\u13a0\u13a1"]).any()


def test_pieces_are_the_longest_from_left_to_right() -> None:
    number = {"file": 0, "filesystem": 1, "system": 2, "sys": 3, "s": 4}
    assert pieces_of("filesystem", number) == [1]
    assert pieces_of("filesystems", number) == [1, 4]
    assert pieces_of("sysfile?", number) == [3, 0]
