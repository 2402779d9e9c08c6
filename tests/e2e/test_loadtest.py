"""The load generator runs against an engine of its own, prints its table, and leaves figures and a picture."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_short_load_leaves_a_table_figures_and_a_picture(tmp_path: Path) -> None:
    options = [
        "--repo",
        str(ROOT / "services" / "nearcode" / "retrieval"),
        "--no-generate",
        "--modes",
        "on",
        "--out",
        str(tmp_path),
    ]
    options += ["--rate", "6", "--factors", "1", "--seconds", "2", "--updates", "2"]
    command = [sys.executable, "-m", "loadtest", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1: this machine was too busy for the generator to be punctual
    assert "goodput/s" in done.stdout and "context-only" in done.stdout
    (written,) = tmp_path.glob("*.json")
    (run,) = json.loads(written.read_text())["runs"]
    assert run["ended"]["error"] == 0 and run["goodput"] > 0 and run["freshness"]["changes"] >= 1
    assert written.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
