"""A hub of models as its client knows it, on loopback: one repository with files, that can be cut off or taken away."""

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "a" * 40


class Hub(ThreadingHTTPServer):
    """`cut_off`: bytes after which answers end, None: never. `ranges`: the beginnings of answers that were asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.files, self.cut_off, self.ranges = files, None, list[int]()

    cut_off: int | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Door(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        found = re.fullmatch(rf"/maker/model/resolve/{REVISION}/(.+)", self.path)
        data = self.server.files.get(found[1]) if found else None
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if with_body:
            self.server.ranges.append(start)
            end = len(data) if self.server.cut_off is None else min(start + self.server.cut_off, len(data))
            self.wfile.write(data[start:end])
            self.close_connection = end < len(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def hub(files: Mapping[str, bytes]) -> Iterator[Hub]:
    """A running hub."""
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
