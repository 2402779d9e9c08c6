"""The program `nearcode`."""

import gc
import os
import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    gc.disable()  # until everything is loaded (engine.py): nothing of it is garbage, and looking costs a tenth of the start
    # Before numpy loads. Our products are small: threads that spin while they wait take the second core from the others.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - not a setting of ours
    # Before gRPC loads: it would tell each failed handshake on stderr; what is wrong with it is told in our own words.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # noqa: TID251 - not a setting of ours
    from nearcode.cli.main import main as command

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # code of any encoding must not end a command
            reconfigure(errors="replace")
    sys.exit(command())


if __name__ == "__main__":
    main()
