"""As a container may run it: any user without a name or a home, no rights, nothing to write to but its volume and scratch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.shop import write_shop

RESTRICTED = """
mount --bind "$1" /mnt && mount --bind "$1/tmp" "$TMPDIR" && mount -o remount,ro,bind / && cd / && shift
exec setpriv --reuid 123456 --regid 0 --clear-groups --bounding-set -all,+dac_read_search \
    --inh-caps -all,+dac_read_search --ambient-caps +dac_read_search "$@"
"""
"""The test's interpreter may lie below a folder of root's: hence the one capability, to read."""
SCRATCH = "/var/tmp" if sys.prefix.startswith("/tmp/") else "/tmp"
"""What is mounted there hides what was there, which must not be this checkout."""


def can_restrict() -> bool:
    if not (shutil.which("unshare") and shutil.which("setpriv") and hasattr(os, "geteuid") and os.geteuid() == 0):
        return False
    tried = subprocess.run(["unshare", "-m", "mount", "--bind", "/mnt", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not can_restrict(), reason="needs root and a mount namespace")
@pytest.mark.parametrize("home", [{}, {"HOME": "/"}], ids=["no HOME", "HOME=/"])
def test_a_restricted_user_can_index_and_search(home: dict[str, str], tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    write_shop(volume / "shop")
    (volume / "tmp").mkdir()
    (volume / "tmp").chmod(0o1777)
    volume.chmod(0o770)

    def nearcode(*arguments: str) -> str:
        command = ["unshare", "-m", "bash", "-ec", RESTRICTED, "bash", str(volume)]
        command += [sys.executable, "-m", "nearcode", *arguments]
        env = {"PATH": "/usr/bin:/bin", "NEARCODE_HOME": "/mnt", "TMPDIR": SCRATCH, **home}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    nearcode("config", "print", "--diff")
    nearcode("index", "/mnt/shop")
    assert "shop/prices.py" in nearcode("search", "value added tax", "--repo", "/mnt/shop")
    assert not list((volume / "tmp").iterdir())
