"""The static embedder: its bytes, its weights, its model file."""

import asyncio
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.adapters.static_embedder import StaticEmbedder
from nearcode.adapters.word_table import FILES, shipped_folder
from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.index import FileTexts, ModelProfile

PROFILE = ModelProfile("nearcode-static-1", 256, static=True)
EMBEDDER, OTHER = StaticEmbedder(PROFILE), StaticEmbedder(PROFILE)

texts = st.lists(st.text(st.sampled_from("abcXYZ_ 09é日\n"), max_size=60), max_size=70)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.builds(FileTexts, st.sampled_from(["a/b.py", "x.go", ""]), texts.map(tuple)), max_size=4), st.randoms())
def test_files_keep_their_bytes_in_any_batch_and_order(files: list[FileTexts], random: np.random.Generator) -> None:
    alone = [array.tobytes() for file in files for array in asyncio.run(OTHER.embed_files([file]))]
    order = list(range(len(files)))
    random.shuffle(order)
    together = asyncio.run(EMBEDDER.embed_files([files[at] for at in order]))
    assert [array.tobytes() for array in together] == [alone[at] for at in order]


async def test_words_of_the_path_draw_a_chunk_towards_them() -> None:
    text = ("def apply(self):\n    pass\n",)
    question = await EMBEDDER.embed_query("database migrations", {})
    elsewhere, there = await EMBEDDER.embed_files([FileTexts("app/x.py", text), FileTexts("database/migrations/x.py", text)])
    assert (there @ question)[0] > (elsewhere @ question)[0] + 0.2


async def test_the_same_words_in_another_order_have_the_same_vector() -> None:
    one, other = await EMBEDDER.embed_files(
        [FileTexts("a.py", ("read write close",)), FileTexts("a.py", ("close read write",))]
    )
    assert one.tobytes() == other.tobytes()


async def test_more_words_than_are_remembered_change_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [FileTexts("a.py", tuple(f"alpha{chr(97 + at)} beta gamma{chr(122 - at)}" for at in range(20)))]
    expected = await EMBEDDER.embed_files(files)
    monkeypatch.setattr("nearcode.adapters.word_table._WORDS", 5)
    again = await StaticEmbedder(PROFILE).embed_files(files)
    assert again[0].tobytes() == expected[0].tobytes()


async def test_the_model_package_is_read_without_importing_it() -> None:
    await StaticEmbedder(PROFILE).load()
    assert "nearcode_embedder" not in sys.modules


async def test_a_missing_model_file_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"gone.*reinstall") as caught:
        await StaticEmbedder(PROFILE, tmp_path / "gone").load()
    assert caught.value.reason is Reason.MODEL_MISSING


@pytest.mark.parametrize("which", FILES)
async def test_a_truncated_model_file_is_named(tmp_path: Path, which: str) -> None:
    for name in FILES:
        shutil.copy(shipped_folder() / name, tmp_path)
    broken = tmp_path / which
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(Unavailable) as caught:
        await StaticEmbedder(PROFILE, tmp_path).embed_query("read", {})
    assert caught.value.reason is Reason.MODEL_MISSING and str(broken) in caught.value.message


async def test_weights_of_another_size_than_the_profile_says_are_refused() -> None:
    with pytest.raises(Unavailable, match="not one table of rows of 64"):
        await StaticEmbedder(ModelProfile("small", 64, static=True)).load()
