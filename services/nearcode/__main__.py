"""The program `nearcode`."""

import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from nearcode.cli.main import main as command

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # code of any encoding must not end a command
            reconfigure(errors="replace")
    sys.exit(command())


if __name__ == "__main__":
    main()
