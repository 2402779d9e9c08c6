"""A program that fetches files of one revision of a hub's repository into a folder, through the hub's own client.

Arguments: REPOSITORY REVISION FOLDER, then FILE BYTES for each file. The client's own variables say from where and as whom
(HF_ENDPOINT, HF_TOKEN, proxies). A file that was interrupted goes on where it was: its part is kept as `FILE.part`, which the
client's own download does not do. The last line of stderr says what went wrong.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

MISSING = "huggingface_hub is not installed: pip install 'nearcode[hub]'"
_NO_SUCH_RANGE = 416  # HTTP


def main(arguments: Sequence[str]) -> str:
    """Fetches the files; the answer is empty, or says what went wrong."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return MISSING
    repository, revision, folder, *files = arguments
    try:
        for file, size in zip(files[::2], files[1::2], strict=True):
            _fetch(repository, revision, file, int(size), Path(folder, file))
    except Exception as error:  # noqa: BLE001 - the client's exceptions have no common base; whatever it was is told, and we end
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""


def _fetch(repository: str, revision: str, file: str, size: int, target: Path) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    url, headers = hf_hub_url(repository, file, revision=revision), build_hf_headers()
    with part.open("ab") as opened:
        try:
            http_get(url, opened, resume_size=opened.tell(), headers=headers, expected_size=size)
        except HfHubHTTPError as error:
            if error.response.status_code == _NO_SUCH_RANGE:  # the part is no part of what is served: begin anew
                opened.truncate(0)
            raise
    part.replace(target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
