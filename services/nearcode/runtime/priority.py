"""Work that must not be felt: the lowest CPU and I/O priority that the platform has. Best effort: where a step is not there
or not allowed, the process goes on without it."""

import os
import platform
import sys
from contextlib import suppress

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Number of the system call, by machine: libc has no function for it (asm/unistd_64.h, asm-generic/unistd.h)."""
_WHO_PROCESS, _CLASS_IDLE = 1, 3 << 13  # linux/ioprio.h
_PRIO_DARWIN_PROCESS, _PRIO_DARWIN_BG = 4, 0x1000  # sys/resource.h of macOS
_PROCESS_MODE_BACKGROUND_BEGIN = 0x00100000  # winbase.h
_NICEST = 19


def lowest_priority() -> None:
    """Lowers this process for good. Call it before threads are started: on Linux they inherit the priority of their maker."""
    if sys.platform == "linux":
        _lowest_on_linux()
    elif sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.SetPriorityClass(ctypes.c_void_p(kernel.GetCurrentProcess()), _PROCESS_MODE_BACKGROUND_BEGIN)
    else:
        with suppress(OSError):
            os.nice(_NICEST)
        if sys.platform == "darwin":
            with suppress(OSError):
                os.setpriority(_PRIO_DARWIN_PROCESS, 0, _PRIO_DARWIN_BG)


def _lowest_on_linux() -> None:
    import ctypes

    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        with suppress(OSError):
            os.nice(_NICEST)
    # A child has a session of its own, and Linux gives each session an equal share: the session must step back, too.
    with suppress(OSError), open("/proc/self/autogroup", "w") as autogroup:
        autogroup.write(str(_NICEST))
    if number := _IOPRIO_SET.get(platform.machine()):
        ctypes.CDLL(None).syscall(number, _WHO_PROCESS, 0, _CLASS_IDLE)
