"""Gets the public packages that the embedder learns from, and lists what may be used of them.

    python -m training.embedder.packages --deny FILE [--copies FOLDER ...]

Writes `index.json` beside the packages: name, registry, version, language, licence, repository, path.
"""

import argparse
import json
import logging
import shutil
import time
import tomllib
from collections import Counter
from functools import lru_cache
from pathlib import Path

from training.embedder.denylist import DenyList, read_denylist
from training.embedder.licences import permissive, told_by_files
from training.embedder.registries import FETCHERS, Fetched, Place

HOME = Path.home() / ".cache" / "nearcode-training"
LIST = Path(__file__).with_name("packages.toml")
LOCK = Path(__file__).with_name("packages.lock.json")
LANGUAGES = {
    ".py": "python", ".pyi": "python", ".pyx": "python", ".go": "go", ".rs": "rust", ".js": "javascript", ".mjs": "javascript",
    ".cjs": "javascript", ".jsx": "javascript", ".ts": "typescript", ".tsx": "typescript", ".mts": "typescript",
    ".java": "java",
    ".kt": "kotlin", ".scala": "scala", ".rb": "ruby", ".php": "php", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp",
    ".hpp": "cpp", ".cxx": "cpp", ".hh": "cpp", ".lua": "lua", ".hs": "haskell",
    ".ex": "elixir", ".exs": "elixir", ".erl": "erlang",
    ".sh": "bash", ".bash": "bash", ".cs": "csharp", ".swift": "swift", ".zig": "zig",
}  # fmt: skip
_LOG = logging.getLogger("nearcode.training")


def main() -> None:
    """Fetches what is missing, judges it, writes the index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deny", type=Path, help="hashes of names that nothing may be learned from")
    parser.add_argument("--home", type=Path, default=HOME)
    parser.add_argument("--only", help="registries, with commas between")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    get_packages(args.home, read_denylist(args.deny), args.only.split(",") if args.only else list(FETCHERS))


def get_packages(home: Path, deny: DenyList, registries: list[str]) -> list[dict[str, str]]:
    """The index: every package that may be used, as `index.json` holds it. Packages already there are not fetched again."""
    packages = home / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    index = packages / "index.json"
    known = {(each["registry"], each["name"]): each for each in (json.loads(index.read_text()) if index.exists() else [])}
    refused = _read(packages / "refused.json")
    wanted = {registry: names.split() for registry, names in tomllib.loads(LIST.read_text("utf-8")).items()}
    for registry in registries:
        began = time.monotonic()
        missing = [
            name for name in wanted[registry]
            if (registry, _plain(registry, name)) not in known and f"{registry} {_plain(registry, name)}" not in refused
        ]  # fmt: skip
        denied = [name for name in missing if deny.package(_plain(registry, name), "")]
        place = Place(packages, home / "work")
        place.work.mkdir(parents=True, exist_ok=True)
        for fetched in FETCHERS[registry]([_pinned(registry, name) for name in missing if name not in denied], place):
            entry, reason = _judge(fetched, deny)
            if reason:
                refused[f"{registry} {fetched.name}"] = reason
                shutil.rmtree(fetched.folder, ignore_errors=True)
            else:
                known[registry, fetched.name] = entry
        kept = [entry for key, entry in sorted(known.items())]
        index.write_text(json.dumps(kept, indent=1), "utf-8")
        (packages / "refused.json").write_text(json.dumps(refused, indent=1, sort_keys=True), "utf-8")
        count = sum(key[0] == registry for key in known)
        _LOG.info("%s: %d packages, %.0f s", registry, count, time.monotonic() - began)
    _LOG.info("refused: %s", dict(Counter(reason.split(":")[0] for reason in refused.values())))
    return [entry for _, entry in sorted(known.items())]


def _plain(registry: str, name: str) -> str:
    return name.rpartition(":")[0] if registry == "maven" else name


def _pinned(registry: str, name: str) -> str:
    """With the version that the table was trained with, where one is recorded."""
    version = _locked().get(f"{registry} {name}", {}).get("version", "")
    return f"{name}@{version}" if version and registry != "maven" else name


@lru_cache(maxsize=1)
def _locked() -> dict[str, dict[str, str]]:
    return dict(json.loads(LOCK.read_text("utf-8"))) if LOCK.exists() else {}


def _read(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _judge(fetched: Fetched, deny: DenyList) -> tuple[dict[str, str], str]:
    """The index entry, and why the package may not be used ("" when it may)."""
    licence = fetched.licence if permissive(fetched.licence) else ""
    licence = licence or told_by_files(fetched.folder) or fetched.licence
    counts = Counter(
        language for path in fetched.folder.rglob("*") if (language := LANGUAGES.get(path.suffix)) and path.is_file()
    )
    entry = {
        "name": fetched.name,
        "registry": fetched.registry,
        "version": fetched.version,
        "language": counts.most_common(1)[0][0] if counts else "",
        "licence": licence.strip()[:80],
        "repository": fetched.repository,
        "path": str(fetched.folder),
    }
    if deny.package(fetched.name, fetched.repository):
        return entry, "denied"
    if not permissive(licence):
        return entry, f"licence: {licence[:80]}"
    return entry, "" if counts else "no sources"


if __name__ == "__main__":
    main()
