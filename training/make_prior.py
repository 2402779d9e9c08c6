"""Makes the public prior of word weights: in which share of public source files each term occurs.

    python training/make_prior.py --deny FILE ROOT...

ROOTs are folders of installed open-source packages (default: this interpreter's standard library and site-packages).
Top-level packages whose name is listed in the deny file (first 24 hex digits of sha256 of the lower-case name, one a line)
are left out, because retrieval is measured on them. The output holds hashes and shares only, no text.
"""

import argparse
import hashlib
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nearcode.domain.terms import count_terms, term_id
from nearcode.retrieval.idf import PRIOR_FILE, encode_prior

SUFFIXES = frozenset(
    {".py", ".pyi", ".pyx", ".js", ".ts", ".c", ".h", ".hpp", ".cpp", ".rs", ".go", ".java", ".rb", ".md", ".rst"}
)
LARGEST_FILE = 400_000
"""Bytes; larger files are data or generated."""
MOST_TERMS = 55_000
"""Keeps the table below 300 KB."""
MIN_FILES = 3
"""A term of fewer files is as good as unseen."""


def denied(name: str, deny: frozenset[str]) -> bool:
    """Whether a package may not be counted."""
    return hashlib.sha256(name.lower().encode()).hexdigest()[:24] in deny


def source_files(root: Path, deny: frozenset[str]) -> Iterator[Path]:
    """Source files below `root`, without the denied packages, in a fixed order."""
    for package in sorted(root.iterdir()):
        if denied(package.stem, deny) or package.name in {"site-packages", "nearcode"}:
            continue
        for path in sorted(package.rglob("*")) if package.is_dir() else [package]:
            if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size <= LARGEST_FILE:
                yield path


def count_files(roots: list[Path], deny: frozenset[str]) -> tuple[Counter[int], int]:
    """Files per term, and the number of distinct files."""
    files: Counter[int] = Counter()
    seen: set[bytes] = set()
    for root in roots:
        for path in source_files(root, deny):
            data = path.read_bytes()
            digest = hashlib.sha256(data).digest()
            if digest not in seen:
                seen.add(digest)
                files.update({term_id(term) for term in count_terms(data.decode("utf-8", "replace"))})
    return files, len(seen)


def main() -> None:
    """Counts, keeps the commonest terms and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    paths = sysconfig.get_paths()
    parser.add_argument("roots", nargs="*", type=Path, default=[Path(paths["stdlib"]), Path(paths["purelib"])])
    parser.add_argument("--deny", type=Path)
    parser.add_argument("--out", type=Path, default=PRIOR_FILE)
    args = parser.parse_args()
    deny = frozenset(args.deny.read_text().split()) if args.deny else frozenset()
    files, total = count_files(args.roots, deny)
    commonest = sorted(files.items(), key=lambda item: (-item[1], item[0]))[:MOST_TERMS]
    kept = sorted(term for term, count in commonest if count >= MIN_FILES)
    shares = np.array([files[term] / total for term in kept])
    args.out.write_bytes(encode_prior(np.array(kept, np.uint32), shares, total))
    print(f"{total} files, {len(files)} terms, {len(kept)} kept, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
