"""Repositories of code hosts, over real HTTPS: what is fetched, what is told when it cannot be, and what a clone survives."""

import concurrent.futures
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from nearcode.domain.errors import NearcodeError, NotFound, Reason, Unavailable
from nearcode.domain.manifest import Manifest
from nearcode.domain.repository import FileVersion, repository_id
from nearcode.ingestion.credentials import origin
from nearcode.ingestion.ports import Source
from nearcode.ingestion.settings import IngestionSettings
from nearcode.ingestion.sources import RepositorySources

from tests.certificates import Authority
from tests.git_server import GitServer, git_server

BASE = {"a.py": "a = 1\n", "lib/b.go": "package b\n"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[GitServer]:
    with git_server(tmp_path / "host", authority) as running:
        yield running


@pytest.fixture
def private(tmp_path: Path, authority: Authority) -> Iterator[GitServer]:
    with git_server(tmp_path / "private", authority, account=("reader", "s3cret-word")) as running:
        running.push("team/shop", BASE)
        yield running


class Engine:
    """Ingestion's side: the folders it keeps, and what is set."""

    def __init__(self, folder: Path, ca: Path | None) -> None:
        self.clones, self.credentials = folder / "clones", folder / "credentials"
        self.credentials.mkdir()
        self.settings = IngestionSettings(git_ca_file=ca, credentials_dir=self.credentials)

    def open(self, url: str, branch: str = "main") -> Source:
        """A source as a process that was just started opens it."""
        manifest = Manifest(repository_id(url, branch), url, "name", branch)
        return RepositorySources(self.settings, self.clones)(manifest)

    def clone(self, url: str, branch: str = "main") -> Path:
        return self.clones / repository_id(url, branch)

    def give(self, url: str, text: str, branch: str = "main") -> Path:
        """Lays credentials where they belong."""
        file = self.credentials / repository_id(url, branch)
        file.write_text(text)
        return file


@pytest.fixture
def engine(tmp_path: Path, authority: Authority) -> Engine:
    (tmp_path / "engine").mkdir()
    return Engine(tmp_path / "engine", authority.ca)


def files(source: Source, commit: str = "") -> list[FileVersion]:
    return list(source.snapshot(commit).files)


def paths(source: Source, commit: str = "") -> list[str]:
    return [file.path for file in files(source, commit)]


def contents(source: Source, wanted: list[FileVersion]) -> list[bytes | None]:
    return [blob.data for blob in source.read(wanted)]


def failure(source: Source) -> NearcodeError:
    with pytest.raises(NearcodeError) as caught:
        source.snapshot()
    return caught.value


def test_a_push_is_fetched_and_a_fetched_commit_is_read(server: GitServer, engine: Engine) -> None:
    first = server.push("shop", BASE)
    source = engine.open(server.url("shop"))
    assert source.snapshot().commit == first
    assert contents(source, files(source)) == [b"a = 1\n", b"package b\n"]
    second = server.push("shop", {"a.py": "a = 2\n", "c.py": "c = 1\n"})
    assert source.snapshot().commit == second
    assert paths(source) == ["a.py", "c.py", "lib/b.go"]
    assert paths(source, first) == ["a.py", "lib/b.go"], "what is served stays readable"


def test_a_branch_that_was_pushed_by_force_is_followed(server: GitServer, engine: Engine) -> None:
    old = server.push("shop", BASE)
    source = engine.open(server.url("shop"))
    before = files(source)
    new = server.push("shop", {"other.py": "x = 1\n"}, force=True)
    assert source.snapshot().commit == new
    assert paths(source) == ["other.py"]
    assert contents(source, before) == [b"a = 1\n", b"package b\n"], "until the new revision is served, the old one is read"
    assert source.snapshot(old).commit == old


@pytest.mark.parametrize("dot_git", [True, False], ids=["a host that redirects to .git", "a host that takes both"])
def test_an_address_without_dot_git_finds_its_repository(
    tmp_path: Path, authority: Authority, engine: Engine, dot_git: bool
) -> None:
    with git_server(tmp_path / "host", authority, dot_git=dot_git) as host:
        host.push("group/sub/shop", BASE)
        source = engine.open(host.url("group/sub/shop"))
        assert paths(source) == paths(source) == ["a.py", "lib/b.go"]


@pytest.mark.parametrize("text", ["reader:s3cret-word", "reader:s3cret-word\n", "reader:s3cret-word\r\nsecond line\n"])
def test_credentials_open_a_private_repository(private: GitServer, engine: Engine, text: str) -> None:
    url = private.url("team/shop")
    engine.give(url, text)
    assert paths(engine.open(url)) == ["a.py", "lib/b.go"]


def test_a_token_alone_goes_with_the_user_that_hosts_expect(tmp_path: Path, authority: Authority, engine: Engine) -> None:
    with git_server(tmp_path / "host", authority, account=("x-access-token", "glpat-token")) as host:
        host.push("shop", BASE)
        engine.give(host.url("shop"), "glpat-token\n")
        assert paths(engine.open(host.url("shop"))) == ["a.py", "lib/b.go"]


def test_credentials_are_read_anew_at_every_fetch(private: GitServer, engine: Engine) -> None:
    url = private.url("team/shop")
    source = engine.open(url)
    missing = failure(source)
    assert isinstance(missing, Unavailable) and missing.reason == Reason.CREDENTIALS_MISSING
    file = engine.give(url, "reader:s3cret-word")
    assert str(file) in missing.message
    assert paths(source) == ["a.py", "lib/b.go"]
    private.change_password("rotated")
    refused = failure(source)
    assert isinstance(refused, Unavailable) and refused.reason == Reason.CREDENTIALS_REFUSED and refused.retry_after >= 60
    assert str(file) in refused.message and "s3cret" not in refused.message
    engine.give(url, "reader:rotated")
    assert paths(source) == ["a.py", "lib/b.go"]
    engine.give(url, "\n")
    assert failure(source).reason == Reason.CREDENTIALS_MISSING
    file.unlink()
    assert failure(source).reason == Reason.CREDENTIALS_MISSING


def test_a_host_may_have_an_authority_of_its_own_that_vouches_for_no_other(
    server: GitServer, engine: Engine, tmp_path: Path
) -> None:
    server.push("shop", BASE)
    url = server.url("shop")
    other = Authority(tmp_path / "other").ca
    for general, of_host, trusted in ((other, engine.settings.git_ca_file, True), (engine.settings.git_ca_file, other, False)):
        assert of_host
        settings = engine.settings.model_copy(update={"git_ca_file": general, "git_ca_files": {origin(url): of_host}})
        manifest = Manifest(repository_id(url, "main"), url, "name", "main")
        source = RepositorySources(settings, tmp_path / f"clones-{trusted}")(manifest)
        assert (paths(source) == ["a.py", "lib/b.go"]) if trusted else (failure(source).reason == Reason.CERTIFICATE)


def test_a_secret_is_in_no_command_line_no_clone_and_no_message(
    private: GitServer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    commands: list[str] = []
    original = subprocess.Popen.__init__

    def watching(self: object, args: list[str], *more: object, **named: object) -> None:
        commands.append(" ".join(map(str, args)))
        original(self, args, *more, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess.Popen, "__init__", watching)
    url = private.url("team/shop")
    engine.give(url, "reader:s3cret-word")
    engine.open(url).snapshot()
    private.change_password("rotated")
    said = failure(engine.open(url)).message
    kept = b"".join(file.read_bytes() for file in engine.clone(url).rglob("*") if file.is_file())
    encoded = "cmVhZGVyOnMzY3JldC13b3Jk"
    assert any(" fetch " in command for command in commands)
    for secret in ("s3cret-word", encoded):
        assert secret not in " ".join(commands) and secret not in said and secret.encode() not in kept


def test_credentials_go_to_their_own_host_only(private: GitServer, server: GitServer, engine: Engine, tmp_path: Path) -> None:
    """The settings that git gets name the origin: to every other one it says nothing."""
    from nearcode.ingestion.credentials import Access

    url = private.url("team/shop")
    engine.give(url, "reader:s3cret-word")
    shown = Access(repository_id(url, "main"), engine.credentials, engine.settings.git_ca_file).shown(url)
    (key,) = [key for key in shown.settings if key.endswith("extraHeader")]
    assert key == f"http.https://127.0.0.1:{private.port}/.extraHeader"


def test_a_host_whose_authority_is_unknown_is_not_believed(server: GitServer, engine: Engine, tmp_path: Path) -> None:
    server.push("shop", BASE)
    for ca in (None, Authority(tmp_path / "stranger", "a stranger").ca, tmp_path / "missing.pem"):
        engine.settings = engine.settings.model_copy(update={"git_ca_file": ca})
        error = failure(engine.open(server.url("shop")))
        assert isinstance(error, Unavailable) and error.reason == Reason.CERTIFICATE and "git_ca_file" in error.message


def test_a_host_that_is_unknown_or_silent_is_told_as_such(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    for url in (f"https://127.0.0.1:{port}/shop", "https://no-such-host.invalid/shop"):
        error = failure(engine.open(url))
        assert isinstance(error, Unavailable) and error.reason == Reason.REPOSITORY_UNREACHABLE, error.message
        assert url in error.message


def test_a_fetch_that_takes_too_long_ends(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        engine.settings = engine.settings.model_copy(update={"fetch_seconds": 1.0})
        error = failure(engine.open(f"https://127.0.0.1:{black_hole.getsockname()[1]}/shop"))
        assert isinstance(error, Unavailable) and "longer than 1 s" in error.message


def test_what_is_not_there_is_named(server: GitServer, engine: Engine) -> None:
    server.push("shop", BASE)
    server.create("empty")
    gone = failure(engine.open(server.url("nothing")))
    assert isinstance(gone, NotFound) and gone.reason == Reason.REMOTE_NOT_FOUND
    branch = failure(engine.open(server.url("shop"), "release"))
    assert isinstance(branch, NotFound) and branch.reason == Reason.NO_SUCH_BRANCH and "no branch release" in branch.message
    empty = failure(engine.open(server.url("empty")))
    assert isinstance(empty, NotFound) and empty.reason == Reason.NO_SUCH_BRANCH and "is empty" in empty.message
    server.push("empty", BASE)
    assert paths(engine.open(server.url("empty"))) == ["a.py", "lib/b.go"]


def test_a_repository_that_is_removed_at_its_host_stays_readable_here(server: GitServer, engine: Engine) -> None:
    server.push("shop", BASE)
    source = engine.open(server.url("shop"))
    served = files(source)
    server.remove("shop")
    assert failure(source).reason == Reason.REMOTE_NOT_FOUND
    assert contents(source, served) == [b"a = 1\n", b"package b\n"]


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "after a restart"])
def test_a_lost_volume_is_fetched_again_when_blobs_are_read(server: GitServer, engine: Engine, restarted: bool) -> None:
    old = server.push("shop", BASE)
    url = server.url("shop")
    source = engine.open(url)
    served = files(source)
    server.push("shop", {"a.py": "a = 2\n"})  # the served revision is not the head any more
    shutil.rmtree(engine.clones)
    source = engine.open(url) if restarted else source
    assert contents(source, served) == [b"a = 1\n", b"package b\n"]
    shutil.rmtree(engine.clones)
    source = engine.open(url) if restarted else source
    assert paths(source, old) == ["a.py", "lib/b.go"], "the wanted commit is fetched by its id"


def test_a_commit_that_its_host_has_no_more_is_replaced_by_the_head(server: GitServer, engine: Engine) -> None:
    old = server.push("shop", BASE)
    url = server.url("shop")
    served = files(engine.open(url))
    new = server.push("shop", {"a.py": "a = 2\n", "lib/b.go": "package b\n"}, force=True)
    server.git("shop", "reflog", "expire", "--expire=now", "--all")
    server.git("shop", "gc", "-q", "--prune=now")
    shutil.rmtree(engine.clones)
    source = engine.open(url)
    assert source.snapshot(old).commit == new
    assert contents(source, served) == [None, b"package b\n"], "the rest is read from the head"


def test_reading_a_lost_clone_without_its_host_says_so_and_loses_no_file(server: GitServer, engine: Engine) -> None:
    server.push("shop", BASE)
    source = engine.open(server.url("shop"))
    served = files(source)
    shutil.rmtree(engine.clones)
    server.stop()
    with pytest.raises(Unavailable) as caught:
        contents(source, served)
    assert caught.value.reason == Reason.REPOSITORY_UNREACHABLE


LEFTOVERS = ["shallow.lock", "config.lock", "packed-refs.lock", "HEAD.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x1"]


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_what_a_killed_git_left_stops_no_later_fetch(server: GitServer, engine: Engine, leftover: str) -> None:
    server.push("shop", BASE)
    source = engine.open(server.url("shop"))
    source.snapshot()
    left = engine.clone(server.url("shop")) / leftover
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half")
    new = server.push("shop", {"c.py": "c = 1\n"})
    assert engine.open(server.url("shop")).snapshot().commit == new
    assert not left.exists()


def _without_head(clone: Path) -> None:
    (clone / "HEAD").unlink()


def _without_objects(clone: Path) -> None:
    shutil.rmtree(clone / "objects")


def _with_half_objects(clone: Path) -> None:
    for file in [*clone.glob("objects/??/*"), *clone.glob("objects/pack/*.pack")]:
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _with_empty_references(clone: Path) -> None:
    for file in clone.glob("refs/heads/*"):
        file.write_text("")


@pytest.mark.parametrize("harm", [_without_head, _without_objects, _with_half_objects, _with_empty_references])
@pytest.mark.parametrize("pushed", [False, True], ids=["nothing new", "a push"])
def test_a_broken_clone_is_made_anew(server: GitServer, engine: Engine, harm: object, pushed: bool) -> None:
    assert callable(harm)
    head = server.push("shop", BASE)
    url = server.url("shop")
    served = files(engine.open(url))
    harm(engine.clone(url))
    assert contents(engine.open(url), served) == [b"a = 1\n", b"package b\n"]
    harm(engine.clone(url))
    head = server.push("shop", {"c.py": "c = 1\n"}) if pushed else head
    source = engine.open(url)
    assert source.snapshot().commit == head
    assert None not in contents(source, files(source))


def test_many_at_once_share_one_clone(server: GitServer, engine: Engine) -> None:
    server.sample("shop")
    source = engine.open(server.url("shop"))
    wanted = files(source)
    shutil.rmtree(engine.clones)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        reads = [pool.submit(contents, source, wanted) for _ in range(6)]
        heads = [pool.submit(source.snapshot) for _ in range(6)]
        read = [future.result() for future in reads]
        assert {future.result().commit for future in heads} == {server.head("shop")}
    assert all(None not in one for one in read)


def test_who_asks_during_a_long_fetch_is_told_instead_of_kept(server: GitServer, engine: Engine) -> None:
    from nearcode.ingestion import clone

    server.push("shop", BASE)
    with socket.create_server(("127.0.0.1", 0)) as black_hole, pytest.MonkeyPatch.context() as patch:
        patch.setattr(clone, "_TURN_SECONDS", 0.2)
        engine.settings = engine.settings.model_copy(update={"fetch_seconds": 5.0})
        source = engine.open(f"https://127.0.0.1:{black_hole.getsockname()[1]}/shop")
        first = threading.Thread(target=lambda: failure(source))
        first.start()
        _held = black_hole.accept()
        error = failure(source)
        assert isinstance(error, Unavailable) and error.reason == Reason.FETCH_IN_PROGRESS
        first.join()
