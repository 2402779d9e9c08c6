#!/usr/bin/env python3
"""Writes OCI image archives from local files and folders, without a container engine or a registry.

containerd's `ctr images import` reads them. An image's name is the full reference that pods use, for example
docker.io/nearcode/engine:1; with imagePullPolicy IfNotPresent nothing is pulled. As a program:

    image.py OUT.tar NAME --copy SRC[:DEST]... [--user UID[:GID]] [--entrypoint ARG]...
"""

import argparse
import fnmatch
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURE = "amd64"
MEDIA = "application/vnd.oci.image."
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Layer:
    """What a layer holds: files or folders by their path in the image, less those of `excludes` (patterns)."""

    copies: Mapping[str, Path]
    excludes: Sequence[str] = ()
    folders: Sequence[str] = ()
    """Empty folders that anybody may write to."""


@dataclass(frozen=True)
class Image:
    """An image: `name` is its full reference, the layers are those below the ones that come after them."""

    name: str
    layers: Sequence[Layer]
    entrypoint: Sequence[str] = ()
    user: str = ""
    workdir: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)


def write(image: Image, out: Path) -> None:
    """Writes the image's archive. The same files give the same layers, which an importer that has them skips."""
    layers = [_layer(layer, out.with_suffix(f".layer{number}")) for number, layer in enumerate(image.layers)]
    digests = [_digest(layer) for layer in layers]
    config = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "Env": [PATH, *(f"{name}={value}" for name, value in image.environment.items())],
            "User": image.user,
            "WorkingDir": image.workdir,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created_by": "image.py"} for _ in layers],
    }
    with tarfile.open(out, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        described = []
        for digest, layer in zip(digests, layers, strict=True):
            size = layer.stat().st_size
            archive.add(layer, arcname=f"blobs/sha256/{digest}")
            described.append({"mediaType": f"{MEDIA}layer.v1.tar", "digest": f"sha256:{digest}", "size": size})
            layer.unlink()
        manifest = {"schemaVersion": 2, "mediaType": f"{MEDIA}manifest.v1+json"}
        manifest |= {"config": _blob(archive, config, "config.v1+json"), "layers": described}
        entry = _blob(archive, manifest, "manifest.v1+json")
        entry |= {"platform": {"architecture": ARCHITECTURE, "os": "linux"}}
        entry |= {"annotations": {"io.containerd.image.name": image.name}}
        index = {"schemaVersion": 2, "mediaType": f"{MEDIA}index.v1+json", "manifests": [entry]}
        _add(archive, "index.json", json.dumps(index).encode())


def _layer(layer: Layer, path: Path) -> Path:
    def as_root(info: tarfile.TarInfo) -> "tarfile.TarInfo | None":
        if any(fnmatch.fnmatch(f"/{info.name}", pattern) for pattern in layer.excludes):
            return None
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(path, "w") as archive:
        for folder in layer.folders:
            info = tarfile.TarInfo(folder.lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(info)
        for target, source in sorted(layer.copies.items()):
            archive.add(source, arcname=target.lstrip("/"), filter=as_root)
    return path


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _blob(archive: tarfile.TarFile, content: "Mapping[str, object]", media: str) -> "dict[str, object]":
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    _add(archive, f"blobs/sha256/{digest}", data)
    return {"mediaType": f"{MEDIA}{media}", "digest": f"sha256:{digest}", "size": len(data)}


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))


def main() -> None:
    """Writes an image with one layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    parser.add_argument("--copy", action="append", default=[], metavar="SRC[:DEST]")
    parser.add_argument("--user", default="")
    parser.add_argument("--entrypoint", action="append", default=[], metavar="ARG")
    given = parser.parse_args()
    copies = {target or source: Path(source) for source, _, target in (copy.partition(":") for copy in given.copy)}
    write(Image(given.name, [Layer(copies, folders=["/tmp"])], given.entrypoint, given.user), given.out)


if __name__ == "__main__":
    main()
