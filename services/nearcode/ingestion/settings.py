"""Settings of ingestion."""

from pathlib import Path

from pydantic import Field

from nearcode.runtime.settings import ServiceSettings


class IngestionSettings(ServiceSettings):
    """Settings of the ingestion service."""

    largest_file: int = 1_000_000
    """Bytes. Larger files are left out by name: data or generated, and one of them would cost as much as a thousand."""
    part_files: int = 48
    """Files of one event of the indexing flow: small enough that its chunks' outlines fit a 64 KB event or two."""
    part_bytes: int = 1_500_000
    """Bytes of source of one such event, so that a part takes a worker about a second."""
    bulk_parts: int = 8
    """A revision with more parts than this travels on the bulk stream, where it does not delay small updates."""
    git_protocols: str = "https"
    """Protocols that git may use to fetch, separated by colons. `file` is for tests."""
    fetch_seconds: float = 900.0
    """Seconds that one fetch may take."""
    git_ca_file: Path | None = None
    """PEM file with the authorities that sign for code hosts: these, and no others. Unset: the system's. `tls.ca_file` is for
    our own services and is not asked. Where a public host is followed beside one of your own, it holds both authorities."""
    git_ca_files: dict[str, Path] = Field(default_factory=dict)
    """PEM files with the authorities of single code hosts, by what their URLs begin with: `https://git.example.com` or
    `https://git.example.com:8443`. These hosts are believed if they sign, and no others may vouch for them."""
    credentials_dir: Path | None = None
    """Folder with one file per repository id, whose first line is `username:password`, or a token alone; a repository without
    a file is fetched without credentials. They are read anew at every fetch. A token goes with the user `x-access-token`, on
    bitbucket.org `x-token-auth`; a host that wants another one (a deploy token has its own) gets `username:token`."""
    watch: bool = True
    """Follow changes in connected folders while `nearcode run` runs."""
