"""The operator with a fault planted in it: a Job's name is drawn by chance, and so no longer the same for the same build."""

import secrets

from nearcode_operator import resources
from nearcode_operator.__main__ import main


def _job_name(name: str, repository: str, generation: int) -> str:
    return f"{name}-{secrets.token_hex(4)}-g{generation}"


if __name__ == "__main__":
    resources.job_name = _job_name
    main()
