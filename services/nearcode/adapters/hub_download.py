"""A program that fetches files of one revision of a hub's repository into a folder, through the hub's own client.

`python -m nearcode.adapters.hub_download REPOSITORY REVISION FOLDER FILE...`. The client's own variables say from where and as
whom (HF_ENDPOINT, HF_TOKEN, proxies). What was fetched of a file before it was interrupted is not fetched again. The last line
of stderr says what went wrong.
"""

import importlib.util
import sys
from collections.abc import Sequence

MISSING = "huggingface_hub is not installed: pip install 'nearcode[hub]'"


def main(arguments: Sequence[str]) -> str:
    """Fetches the files; the answer is empty, or says what went wrong."""
    repository, revision, folder, *files = arguments
    if importlib.util.find_spec("huggingface_hub") is None:
        return MISSING
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        for file in files:
            hf_hub_download(repository, file, revision=revision, local_dir=folder)
    except (HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
