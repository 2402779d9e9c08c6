"""A git server for `helm test` and for tests: bare repositories over HTTPS, by git's smart protocol, only to be read.

Needs Python's standard library and git, nothing else. A repository ROOT/NAME or ROOT/NAME.git answers at
https://HOST/NAME and https://HOST/NAME.git. The first line on stdout tells where it listens.

    git_server.py --root DIR --cert FILE --key FILE --listen 0.0.0.0:8443 --sample shop
"""

import argparse
import base64
import gzip
import hmac
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

LARGEST_REQUEST = 16_000_000
"""Bytes. What a fetch asks is a list of commits."""
IDLE_SECONDS = 60.0
_ASKED = re.compile(r"/(?P<name>[\w.-]+(?:/[\w.-]+)*)/(?P<what>info/refs|git-upload-pack)")
_SAFE_DIRECTORY = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
    **_SAFE_DIRECTORY,
}
FIRST_COMMIT = 1_700_000_000
"""Unix time of the sample's first commit; each one after it is an hour later, so that its ids are the same everywhere."""


class Refused(Exception):
    """A request that is not answered by git."""

    def __init__(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}


class GitServer(ThreadingHTTPServer):
    """Answers each connection in a thread of its own; a TLS handshake that hangs holds up nobody else."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, listen: tuple[str, int], root: Path, tls: ssl.SSLContext, account: tuple[str, Path] | None, strict: bool
    ) -> None:
        super().__init__(listen, Handler)
        self.root, self.account, self.strict = root.resolve(), account, strict
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or does not trust the certificate, takes one line."""
        print(f"{client_address}: {sys.exc_info()[1]!r}", file=sys.stderr, flush=True)


class Handler(BaseHTTPRequestHandler):
    """Hands reads over to `git http-backend`, and refuses the rest."""

    server: GitServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # else each small answer waits 40 ms for the caller's acknowledgement

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        try:
            body = self._body() if body is None else body
            self._check_account()
            self._run_git(body, *self._asked())
        except Refused as refused:
            text = f"{refused}\n".encode()
            self._head(refused.status, {**refused.headers, "Content-Type": "text/plain", "Content-Length": str(len(text))})
            self.wfile.write(text)

    def _check_account(self) -> None:
        if self.server.account is None:
            return
        user, file = self.server.account
        expected = f"{user}:{file.read_text(encoding='utf-8').strip()}"
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic" and hmac.compare_digest(given, base64.b64encode(expected.encode()).decode()):
            return
        raise Refused(HTTPStatus.UNAUTHORIZED, "who are you?", {"WWW-Authenticate": 'Basic realm="git"'})

    def _asked(self) -> tuple[str, str]:
        """The path of a repository's folder below the root, and what is asked of it."""
        parts = urlsplit(self.path)
        found = _ASKED.fullmatch(unquote(parts.path))
        if not found or ".." in found["name"]:
            raise Refused(HTTPStatus.NOT_FOUND, "no such page")
        if found["what"] == "info/refs" and parts.query != "service=git-upload-pack":
            raise Refused(HTTPStatus.FORBIDDEN, "repositories are only read here, by git's smart protocol")
        name = found["name"].removesuffix(".git")
        if self.server.strict and name == found["name"]:
            moved = {"Location": f"/{name}.git/{found['what']}?{parts.query}"}
            raise Refused(HTTPStatus.MOVED_PERMANENTLY, "the name ends in .git", moved)
        for folder in (f"{name}.git", name):
            if (self.server.root / folder / "objects").is_dir():
                return folder, found["what"]
        raise Refused(HTTPStatus.NOT_FOUND, "no such repository")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        else:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST_REQUEST:
                self.close_connection = True
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large")
            body = self.rfile.read(length)
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            total += size
            if total > LARGEST_REQUEST:
                self.close_connection = True
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large")
            yield self.rfile.read(size)
            self.rfile.readline(8)
        self.rfile.readline(8)

    def _run_git(self, body: bytes, folder: str, what: str) -> None:
        environment = _ENVIRONMENT | {
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": f"/{folder}/{what}",
            "QUERY_STRING": urlsplit(self.path).query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": self.client_address[0],
        }
        command = ["git", "http-backend"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as backend:
            assert backend.stdin and backend.stdout
            try:
                backend.stdin.write(body)
                backend.stdin.close()
            except BrokenPipeError:
                pass  # git said what it had to say before it had read everything
            self._relay(backend.stdout)

    def _relay(self, answer: IO[bytes]) -> None:
        """Sends on what a CGI program says: its headers, then its bytes in chunks, as their number is not known."""
        headers: dict[str, str] = {}
        while line := answer.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.title()] = value.strip()
        status = HTTPStatus(int(headers.pop("Status", "200").split()[0])) if headers else HTTPStatus.BAD_GATEWAY
        self._head(status, {**headers, "Transfer-Encoding": "chunked"})
        while data := answer.read1(65536):  # type: ignore[attr-defined]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def create(repository: Path) -> None:
    """Makes an empty bare repository."""
    repository.mkdir(parents=True, exist_ok=True)
    _git(repository, "init", "-q", "--bare", "--template=", "--initial-branch=main")


def commit(
    repository: Path,
    files: Mapping[str, str | bytes | None],
    *,
    branch: str = "main",
    message: str = "Change",
    when: int = FIRST_COMMIT,
    anew: bool = False,
) -> str:
    """Commits files to a bare repository, and returns the commit's id. None deletes a file. `when` is Unix time. `anew`:
    without a parent, as somebody who rewrites history pushes by force."""
    reference = f"refs/heads/{branch}"
    parent = "" if anew else _git(repository, "for-each-ref", "--format=%(objectname)", reference).decode().strip()
    note = message.encode()
    stream = [f"commit {reference}\ncommitter Sample <sample@example.com> {when} +0000\n".encode()]
    stream.append(b"data %d\n%s\n" % (len(note), note))
    if parent:
        stream.append(f"from {parent}\n".encode())
    for path, content in files.items():
        if content is None:
            stream.append(f"D {path}\n".encode())
            continue
        data = content.encode() if isinstance(content, str) else content
        stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    _git(repository, "fast-import", "--quiet", "--force", input_=b"".join(stream) + b"\n")
    return _git(repository, "rev-parse", reference).decode().strip()


def make_sample(repository: Path) -> None:
    """A small shop, in three commits. One that is there is left as it is."""
    if (repository / "HEAD").exists():
        return
    draft = repository.with_name(repository.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    create(draft)
    for number, (message, files) in enumerate(SAMPLE):
        commit(draft, files, message=message, when=FIRST_COMMIT + 3600 * number)
    draft.rename(repository)


def _git(repository: Path, *arguments: str, input_: bytes = b"") -> bytes:
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, input=input_, stdout=subprocess.PIPE, check=True, env=_ENVIRONMENT).stdout


SAMPLE: Sequence[tuple[str, Mapping[str, str]]] = (
    (
        "Stock and prices",
        {
            "README.md": "# shop\n\nA small shop: stock and prices in Python, delivery in Go.\n",
            "shop/__init__.py": '"""A small shop."""\n',
            "shop/stock.py": '''"""What lies on the shelves."""

from dataclasses import dataclass, field


class OutOfStock(Exception):
    """Somebody wants more than there is."""


@dataclass
class Stock:
    """Pieces of each article, by its number."""

    pieces: dict[str, int] = field(default_factory=dict)

    def receive(self, article: str, count: int) -> None:
        """Puts new pieces on the shelf."""
        self.pieces[article] = self.pieces.get(article, 0) + count

    def reserve(self, article: str, count: int) -> None:
        """Takes pieces off the shelf for a customer. Raises OutOfStock."""
        if self.pieces.get(article, 0) < count:
            raise OutOfStock(article)
        self.pieces[article] -= count
''',
            "shop/prices.py": '''"""What things cost. Amounts are in cents."""

VAT_PERCENT = 19


def with_tax(net: int) -> int:
    """The price that a customer pays for a net price."""
    return net + (net * VAT_PERCENT + 50) // 100


def quantity_discount(net: int, count: int) -> int:
    """The net price of several pieces: a tenth off from ten pieces on."""
    total = net * count
    return total - total // 10 if count >= 10 else total
''',
        },
    ),
    (
        "Orders",
        {
            "shop/orders.py": '''"""Orders: reserve what is wanted, then ask for the money."""

from shop.prices import quantity_discount, with_tax
from shop.stock import Stock


def place_order(stock: Stock, article: str, count: int, net: int) -> int:
    """Reserves the pieces and returns what the customer pays, in cents. Raises OutOfStock."""
    stock.reserve(article, count)
    return with_tax(quantity_discount(net, count))


def cancel_order(stock: Stock, article: str, count: int) -> None:
    """Puts the pieces of an order back on the shelf."""
    stock.receive(article, count)
''',
        },
    ),
    (
        "Delivery",
        {
            "delivery/parcel.go": """// Package delivery packs and ships what was ordered.
package delivery

import "errors"

// ErrTooHeavy says that a parcel cannot be carried.
var ErrTooHeavy = errors.New("parcel is too heavy")

// MaxGrams is what a carrier takes.
const MaxGrams = 31500

// Parcel is what one customer gets.
type Parcel struct {
	Address string
	Grams   int
}

// Pack puts another article into the parcel.
func (p *Parcel) Pack(grams int) error {
	if p.Grams+grams > MaxGrams {
		return ErrTooHeavy
	}
	p.Grams += grams
	return nil
}
""",
            "delivery/postage.go": """package delivery

// Postage is what a parcel costs to send, in cents.
func Postage(p Parcel) int {
	switch {
	case p.Grams <= 2000:
		return 549
	case p.Grams <= 10000:
		return 1049
	default:
		return 1999
	}
}
""",
        },
    ),
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of bare repositories")
    parser.add_argument("--cert", type=Path, required=True, help="the server's certificate (PEM)")
    parser.add_argument("--key", type=Path, required=True, help="its key (PEM)")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0: any free one")
    parser.add_argument("--sample", action="append", default=[], metavar="NAME", help="make a sample repository NAME")
    parser.add_argument("--username", default="", help="whom to answer; everybody without it")
    parser.add_argument("--password-file", type=Path, help="file with the password; read at every request")
    parser.add_argument("--dot-git", action="store_true", help="redirect names without .git, as GitLab does")
    options = parser.parse_args()
    if bool(options.username) != bool(options.password_file):
        parser.error("--username and --password-file go together")
    return options


def main() -> None:
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1, nobody else would
    options.root.mkdir(parents=True, exist_ok=True)
    for name in options.sample:
        make_sample(options.root / f"{name}.git")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.cert, options.key)
    host, _, port = options.listen.rpartition(":")
    account = (options.username, options.password_file) if options.username else None
    with GitServer((host.strip("[]"), int(port)), options.root, tls, account, options.dot_git) as server:
        print(f"listening on {host}:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
