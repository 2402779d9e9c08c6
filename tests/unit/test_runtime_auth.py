"""On loopback only who can read the token's file gets in."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nearcode.auth.local import LocalAuthenticator
from nearcode.auth.token import TokenAuthenticator, ensure_token, read_token
from nearcode.domain.errors import Unauthenticated, Unavailable


def test_a_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "token"
    token = ensure_token(path)
    assert len(token) >= 43 and ensure_token(path) == token == read_token(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def test_engines_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: ensure_token(tmp_path / "token"), range(64)))) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["token"]


def test_two_homes_have_two_tokens(tmp_path: Path) -> None:
    assert ensure_token(tmp_path / "a") != ensure_token(tmp_path / "b")


async def test_the_right_token_lets_in_and_a_replaced_one_does_not(tmp_path: Path) -> None:
    door = TokenAuthenticator(tmp_path / "token")
    token = ensure_token(tmp_path / "token")
    assert await door.authenticate({"authorization": f"Bearer {token}"}) == "local"
    assert await door.authenticate({"authorization": f"bearer {token}"}) == "local"
    (tmp_path / "token").unlink()
    ensure_token(tmp_path / "token")
    with pytest.raises(Unauthenticated):
        await door.authenticate({"authorization": f"Bearer {token}"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.just("Bearer"), st.just("Bearer "), st.text().map("Bearer {}".format)))
async def test_nothing_else_lets_in(tmp_path: Path, given: str) -> None:
    ensure_token(tmp_path / "token")
    door = TokenAuthenticator(tmp_path / "token")
    with pytest.raises(Unauthenticated) as caught:
        await door.authenticate({"authorization": given})
    assert read_token(tmp_path / "token") not in caught.value.message
    with pytest.raises(Unauthenticated):
        await door.authenticate({})


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
async def test_an_empty_token_file_lets_nobody_in(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    for header in ("", "Bearer ", "Bearer"):
        with pytest.raises(Unavailable):
            await TokenAuthenticator(tmp_path / "token").authenticate({"authorization": header})


async def test_a_unix_socket_needs_no_token() -> None:
    assert await LocalAuthenticator().authenticate({}) == "local"
