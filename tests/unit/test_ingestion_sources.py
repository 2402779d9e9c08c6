"""Which files of a folder or a branch are indexed, and what is said of the others."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from nearcode.domain.address import Address
from nearcode.domain.errors import InvalidRequest, NotFound
from nearcode.domain.repository import blob_id
from nearcode.ingestion.clone import Clone
from nearcode.ingestion.credentials import Access
from nearcode.ingestion.folder import FolderSource
from nearcode.ingestion.git import GitSource, git_dir_of
from nearcode.ingestion.git_command import Git
from nearcode.ingestion.selection import Selection, why_left_out

LARGEST = 1_000_000
SELECTION = Selection(LARGEST)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def reasons(root: Path) -> dict[str, str]:
    return {other.path: other.reason for other in FolderSource(root, SELECTION).snapshot().others}


def paths(root: Path) -> list[str]:
    return [file.path for file in FolderSource(root, SELECTION).snapshot().files]


TREE = {
    ".gitignore": "*.log.py\nbuild/\n!keep.log.py\n",
    "app.py": "a = 1",
    "noise.log.py": "",
    "keep.log.py": "",
    "build/out.py": "",
    "sub/.nearcodeignore": "secret.py\n",
    "sub/secret.py": "",
    "sub/open.py": "",
    "README.md": "hello",
    "node_modules/lib/index.js": "",
}


@pytest.mark.parametrize("is_git", [False, True], ids=["plain folder", "git working tree"])
def test_ignore_files_are_followed_and_named(tmp_path: Path, is_git: bool) -> None:
    write(tmp_path, TREE)
    if is_git:
        git(tmp_path, "init", "-q")
        (tmp_path / ".gitignore").write_text(TREE[".gitignore"] + "node_modules/\n")
    assert paths(tmp_path) == ["app.py", "keep.log.py", "sub/open.py"]
    said = reasons(tmp_path)
    assert said["sub/secret.py"] == "ignored by sub/.nearcodeignore line 1: secret.py"
    assert said["README.md"] == "kind is not indexed: .md"
    if not is_git:  # git lists no ignored files, so there is nothing to say of them
        assert said["noise.log.py"] == "ignored by .gitignore line 1: *.log.py"
        assert said["build/"] == "ignored by .gitignore line 2: build/"


def test_hostile_and_odd_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("secret = 1")
    root = tmp_path / "code"
    write(root, {"good.py": "x = 1", ".env.py/nested.py": "y = 1", "id_rsa": "key"})
    (root / "link.py").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "big.py").write_bytes(b"#" * 50_000_000)
    os.mkfifo(root / "pipe.py")
    (root / os.fsdecode(b"bad\xff.py")).write_text("z = 1")
    assert paths(root) == [".env.py/nested.py", "good.py"]
    said = reasons(root)
    assert said["link.py"] == said["loop"] == "symbolic link"
    assert said["big.py"] == "larger than 1,000,000 bytes"
    assert said["pipe.py"] == "not a regular file"
    assert said["id_rsa"] == "may hold secrets"
    assert "path is not UTF-8" in said.values()


def test_a_second_look_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.py": "a", "b.py": "b"})
    old = time.time() - 100
    for name in ("a.py", "b.py"):
        os.utime(tmp_path / name, (old, old))
    source = FolderSource(tmp_path, SELECTION)
    first = source.snapshot()
    (tmp_path / "b.py").write_text("B")
    read: list[str] = []
    original = Path.read_bytes

    def reading(path: Path) -> bytes:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    second = source.snapshot()
    assert read == ["b.py"]
    assert second.commit != first.commit
    assert {file.path: file.blob for file in second.files} == {"a.py": blob_id(b"a"), "b.py": blob_id(b"B")}


def test_bytes_of_a_file_that_changed_since_are_not_taken_for_the_old_ones(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "a", "b.py": "b"})
    source = FolderSource(tmp_path, SELECTION)
    files = source.snapshot().files
    (tmp_path / "a.py").write_text("changed")
    (tmp_path / "b.py").unlink()
    assert [blob.data for blob in source.read(files)] == [None, None]


def test_a_folder_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not a folder any more"):
        FolderSource(tmp_path / "gone", SELECTION).snapshot()


def test_an_empty_folder_is_fine(tmp_path: Path) -> None:
    assert FolderSource(tmp_path, SELECTION).snapshot().files == ()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "origin"
    write(root, {"a.py": "a = 1", "lib/b.go": "package b", "lib/.nearcodeignore": "c.go", "lib/c.go": "package c"})
    (root / "link.py").symlink_to("/etc/passwd")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    return root


def source_of(root: Path, branch: str = "main") -> GitSource:
    git_dir = git_dir_of(root)
    assert git_dir
    return GitSource(root.as_uri(), branch, Git(git_dir), SELECTION)


def clone_of(root: Path, git_dir: Path, protocols: str) -> GitSource:
    git = Git(git_dir, protocols)
    return GitSource(root.as_uri(), "main", git, SELECTION, Clone(git, root.as_uri(), "main", Access()))


def test_a_branch_is_read_from_the_objects_and_not_from_the_working_tree(repository: Path) -> None:
    (repository / "a.py").write_text("uncommitted")
    source = source_of(repository)
    snapshot = source.snapshot()
    assert [file.path for file in snapshot.files] == ["a.py", "lib/b.go"]
    assert [blob.data for blob in source.read(snapshot.files)] == [b"a = 1", b"package b"]
    assert {other.path: other.reason for other in snapshot.others} == {
        "lib/.nearcodeignore": "kind is not indexed: .nearcodeignore",
        "lib/c.go": "ignored by lib/.nearcodeignore line 1: c.go",
        "link.py": "symbolic link",
    }
    assert snapshot.commit == git(repository, "rev-parse", "HEAD")


def test_a_remote_is_fetched_bare_and_only_by_protocols_that_are_allowed(repository: Path, tmp_path: Path) -> None:
    allowed = clone_of(repository, tmp_path / "clone", "file")
    assert [file.path for file in allowed.snapshot().files] == ["a.py", "lib/b.go"]
    assert not (tmp_path / "clone" / "a.py").exists()
    refused = clone_of(repository, tmp_path / "other", "https")
    with pytest.raises(Exception, match="cannot be fetched"):
        refused.snapshot()


def test_a_missing_branch_is_named(repository: Path) -> None:
    with pytest.raises(NotFound, match="no branch nope"):
        source_of(repository, "nope").snapshot()


@pytest.mark.parametrize("branch", ["--upload-pack=x", "a..b", "", "-x"])
def test_a_branch_name_is_never_taken_for_an_option(repository: Path, branch: str) -> None:
    with pytest.raises(InvalidRequest):
        source_of(repository, branch)


def test_objects_that_are_gone_are_missing_and_not_an_error(repository: Path) -> None:
    source = source_of(repository)
    file = source.snapshot().files[0]
    gone = type(file)("gone.py", "0" * 40, 1)
    assert [blob.data for blob in source.read([gone, file])] == [None, b"a = 1"]


@pytest.mark.parametrize(
    ("url", "branch", "problem"),
    [
        ("http://host/a", "main", "neither"),
        ("https://u:p@host/a", "main", "credentials"),
        ("ssh://u:p@host/a", "main", "credentials"),
        ("https://host:port/a", "main", "URL is none"),
        ("https://[host/a", "main", "URL is none"),
        ("https://host/a", "", "branch"),
        ("/plain/path", "", "neither"),
        ("https://host/", "main", "neither"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_the_reason(url: str, branch: str, problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        Address.parse(url, branch)


def test_one_repository_has_one_address() -> None:
    assert Address.parse("https://Host/a/b.git", "main") == Address.parse("https://host/a/b/", "main")
    assert Address.parse("https://host/a/b.git", "main").name == "a/b"


def test_control_characters_and_endless_paths_are_left_out() -> None:
    assert "control" in why_left_out("a\nb.py", 1, LARGEST)
    assert "longer" in why_left_out("a/" * 200 + "b.py", 1, LARGEST)


def test_a_line_of_an_ignore_file_that_cannot_be_read_ignores_nothing_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, {".ignore": "# ours\n\n!\n[z-a]\nb.py\n", "a.py": "a", "b.py": "b"})
    assert paths(tmp_path) == ["a.py"]
    assert reasons(tmp_path)["b.py"] == "ignored by .ignore line 5: b.py"
