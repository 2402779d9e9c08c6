"""The parser process: `python -m nearcode.chunking.parser CPU_SECONDS`. Files in, outlines out; it may die at any time.

tree-sitter's parser cannot be interrupted and holds the GIL, so the kernel ends the process when a file takes too much CPU
time. Wall time would make what is indexed depend on how busy the machine is.
"""

import signal
import sys
from collections.abc import Sequence
from functools import partial

from nearcode.chunking.outline import outline
from nearcode.chunking.shapes import SHAPES
from nearcode.runtime.child import serve

_MEMORY = 2**30
"""Bytes of address space: twice what the largest file that is indexed needs."""


def outlines(cpu_seconds: float, request: tuple[str, Sequence[tuple[str, bytes]]]) -> list[bytes]:
    """Serialized outlines of (path, source) pairs in the shape named. A file that takes more than `cpu_seconds` ends the
    process by SIGPROF."""
    shape, files = request
    done: list[bytes] = []
    for path, source in files:
        _arm(cpu_seconds)
        done.append(outline(path, source, SHAPES[shape]).SerializeToString())
    _arm(0)
    return done


def _arm(cpu_seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit_memory()
    serve(partial(outlines, float(sys.argv[1])))
