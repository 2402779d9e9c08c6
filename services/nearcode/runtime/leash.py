"""Ties a process to its parent, so that a killed parent leaves nothing behind.

Run as a program it ties itself and becomes another program: `python leash.py PARENT_PID PROGRAM [ARGUMENT ...]`. Imports only
the stdlib and nothing of nearcode, to start in milliseconds.
"""

import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Linux: the kernel kills this process when its parent ends. Elsewhere: a thread watches for the parent's end."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    import time

    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        die_with_parent(parent)
        os.execv(program[0], program)
    # exec would end the watching thread, so this process stays as a supervisor between the two.
    child = subprocess.Popen(program)
    import time

    while child.poll() is None and os.getppid() == parent:
        time.sleep(0.2)
    child.kill()
    sys.exit(child.wait())


if __name__ == "__main__":
    main()
