"""How much a cluster test does: its full count times NEARCODE_TEST_TRIALS_SHARE (1.0 if it is not set)."""

import os


def trials(full: int, least: int = 1) -> int:
    """The share of a full count, `least` at least."""
    return max(least, round(full * float(os.environ.get("NEARCODE_TEST_TRIALS_SHARE", "1"))))
