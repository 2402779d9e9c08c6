"""A hub of models as its client knows it, on loopback: one repository with files, that can be cut off or taken away."""

import hashlib
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "a" * 40


class Hub(ThreadingHTTPServer):
    """`budget`: bytes that are served until it fails, in the midst of an answer. `ranges`: where answers began."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.files, self.budget, self.ranges = files, sys.maxsize, list[int]()

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
        if data is None or self.server.budget <= 0:
            self.send_response(404 if data is None else 503)
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
            sent = data[start : start + self.server.budget]
            self.server.budget -= len(sent)
            self.wfile.write(sent)
            self.close_connection = start + len(sent) < len(data)

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
