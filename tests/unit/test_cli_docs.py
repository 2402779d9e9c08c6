"""The commands that README and docs show exist, with these options; the generated pages are fresh."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from nearcode.cli.main import nearcode

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`(nearcode [^`]+)`")


def shown() -> list[str]:
    texts = [page.read_text("utf-8") for page in PAGES]
    lines = [line for text in texts for block in BLOCK.findall(text) for line in block.splitlines()]
    return sorted({*lines, *(found for text in texts for found in INLINE.findall(text))})


@pytest.mark.parametrize("line", [line for line in shown() if line.startswith("nearcode ")])
def test_a_shown_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PATH", "FILE", "path"):
        (tmp_path / name).mkdir()
    arguments = shlex.split(line)[1:]
    command: click.Command = nearcode
    parent = None
    while isinstance(command, click.Group):
        context = command.make_context(command.name, arguments, parent)
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        _, found, arguments = command.resolve_command(context, rest)
        assert found, line
        command, parent = found, context
    for parameter in command.params:  # FILE and TARGET stand for what a reader would write
        if isinstance(parameter.type, click.File | click.Choice):
            monkeypatch.setattr(parameter, "type", click.STRING)
    command.make_context(command.name, arguments, parent, resilient_parsing=not arguments)


@pytest.mark.parametrize("line", [line for line in shown() if line.startswith("make")])
def test_a_shown_make_target_exists(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    targets = [word for word in words if "=" not in word]
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)


def test_generated_pages_are_fresh_and_links_lead_somewhere() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
