"""Ties a process to its parent, so that a killed parent leaves nothing behind.

Run as a program it ties itself and becomes another program: `python leash.py PARENT_PID PROGRAM [ARGUMENT ...]`. Imports only
the stdlib and nothing of nearcode, to start in milliseconds.

Linux: the kernel does it. macOS, Windows: a thread watches; for a foreign program this process stays between the two, and if
it alone is killed by force the program stays behind.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SYNCHRONIZE = 0x00100000  # the access right to wait for a process, winnt.h
_INFINITE = 0xFFFFFFFF
_POLL_SECONDS = 0.2


def die_with_parent(parent: int) -> None:
    """Linux: the kernel kills this process when the thread that started it ends. Elsewhere: a thread watches the parent."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)
    else:
        _when_ended(parent, lambda: os._exit(1))


def _when_ended(parent: int, then: Callable[[], object]) -> None:
    def watch() -> None:
        _wait(parent)
        then()

    threading.Thread(target=watch, name="leash", daemon=True).start()


def _wait(parent: int) -> None:
    if sys.platform == "win32":  # os.getppid() goes on naming a parent that is gone
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.OpenProcess.restype = ctypes.c_void_p
        kernel.WaitForSingleObject.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        if handle := kernel.OpenProcess(_SYNCHRONIZE, False, parent):
            kernel.WaitForSingleObject(handle, _INFINITE)
        return
    import time

    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Runs the program of the command line. Its own session: Ctrl-C in a terminal is for the owner, who ends it in order."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform != "win32" and os.getpgrp() != os.getpid():
        os.setsid()
    if sys.platform == "linux":
        die_with_parent(parent)
        os.execv(program[0], program)
    sys.exit(_supervise(parent, program))  # exec would end the watching thread


def _supervise(parent: int, program: list[str]) -> int:
    asked, child = False, None

    def end(*_: object) -> None:
        nonlocal asked
        asked = True
        if child:
            child.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):  # before there is a child that would stay behind
        signal.signal(number, end)
    child = subprocess.Popen(program)
    if asked:
        child.terminate()
    _when_ended(parent, child.kill)
    return child.wait()


if __name__ == "__main__":
    main()
