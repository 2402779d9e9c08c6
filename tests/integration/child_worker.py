"""A worker that does what it is asked: `python -m tests.integration.child_worker`."""

import ctypes
import os
import sys
import time
from typing import Any

from nearcode.runtime.child import serve


class Sealed:
    """Cannot be pickled."""

    def __reduce__(self) -> str:
        raise TypeError("sealed")


def handle(request: tuple[str, Any]) -> Any:
    """Answers one request: what to do, and with what."""
    what, value = request
    match what:
        case "echo":
            return value
        case "print":
            print(value, flush=True)
            os.write(1, b"and past Python's buffer\n")
            return "printed"
        case "fail":
            raise ValueError(value)
        case "sleep":
            time.sleep(value)
        case "pid":
            return os.getpid()
        case "folder":
            return [path for path in sys.path if path in ("", os.getcwd())]
        case "session":
            return os.getsid(0) == os.getpid()
        case "crash":
            ctypes.string_at(0)
        case "exit":
            os._exit(7)
        case "sealed":
            return Sealed()
        case "zeros":
            return bytes(value)
    return None


if __name__ == "__main__":
    serve(handle)
