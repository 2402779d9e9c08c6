"""Which licences let a package's text teach a table that everybody may use: permissive ones."""

import re
from pathlib import Path

_PERMISSIVE = re.compile(
    r"mit(-0)?|mit.licen[cs]e|expat|x11|apache([- ]?2(\.0)?)?|apache.*|al2|asl.2.*|the apache.*|bsd.*|.*\bbsd\b.*"
    r"|[0-4][- ]clause bsd.*|isc.*|zlib.*|unlicense.*|0bsd|psf.*|python.software.foundation.*|python-2\.0.*|bsl-1\.0|boost.*"
    r"|cc0.*|public.domain.*|postgresql|hpnd.*|curl|zpl.*|zope.*|ncsa|unicode.*|w3c|blueoak.*|artistic-2\.0|ruby|mit/x.*|mit-x.*"
    r"|eclipse distribution.*|go license|revised bsd|new bsd.*|mit .*|.*mit licen[cs]e.*|.*apache.*2\.0.*"
    r"|.*apache software licen[cs]e.*|edl.*|bouncy castle.*|libpng.*|openssl|llvm-exception|apache-2\.0 with.*",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"gpl|gnu|mozilla|mpl|eupl|epl|cddl|sspl|busl|commons.clause|proprietary|creative.commons.*nc|cc-by-nc", re.IGNORECASE
)
_COPYLEFT = r"GNU (LESSER |AFFERO |LIBRARY )?GENERAL PUBLIC|Mozilla Public|Eclipse Public|Business Source|Server Side Public"
_TEXTS = (
    ("", re.compile(_COPYLEFT, re.I)),
    ("Apache-2.0", re.compile(r"Apache License,?\s+Version 2\.0", re.I)),
    ("MIT", re.compile(r"Permission is hereby granted, free of charge, to any\s+person", re.I)),
    ("BSD", re.compile(r"Redistributions? and use in source and binary forms", re.I)),
    ("ISC", re.compile(r"Permission to use, copy, modify, and/?(or)? distribute this software for any", re.I)),
    ("Unlicense", re.compile(r"This is free and unencumbered software", re.I)),
    ("BSL-1.0", re.compile(r"Boost Software License", re.I)),
    ("Zlib", re.compile(r"This software is provided 'as-is', without any express", re.I)),
)  # fmt: skip


def permissive(expression: str) -> bool:
    """Whether an expression allows it: any of its alternatives, all parts of each."""
    text = expression.replace("(", " ").replace(")", " ").replace("/", " OR ") if len(expression) < 60 else expression[:200]
    text = re.sub(r",\s*(?=version|asl|v?\.?\d)", " ", text, flags=re.IGNORECASE)
    alternatives = re.split(r"\s+or\s+|\|\|", text, flags=re.IGNORECASE)
    return any(_all_parts(each) for each in alternatives)


def _all_parts(text: str) -> bool:
    parts = [part.strip(" ,\"'") for part in re.split(r"\s+and\s+|,|;", text, flags=re.IGNORECASE)]
    parts = [part for part in parts if part]
    return bool(parts) and all(_PERMISSIVE.fullmatch(part) and not _FORBIDDEN.search(part) for part in parts)


def told_by_files(folder: Path) -> str:
    """The licence that a package's own licence file is, or the licences its Debian copyright file lists."""
    copyright_file = folder / "debian" / "copyright"
    if copyright_file.exists():
        text = copyright_file.read_text("utf-8", "replace")
        sources = text.split("Files: debian/*")[0]
        names = dict.fromkeys(re.findall(r"^License: *(\S[^\n]*)", sources, re.MULTILINE))
        return " AND ".join(names) if names else _told_by_text(text)
    for path in sorted(folder.glob("*")) + sorted(folder.glob("*.dist-info/**/*")) + sorted(folder.glob("META-INF/*")):
        named = re.match(r"(un)?licen[cs]e|copying|copyright", path.name, re.IGNORECASE) and path.is_file()
        if named and (told := _told_by_text(path.read_text("utf-8", "replace"))):
            return told
    return ""


def _told_by_text(text: str) -> str:
    head = text[:3000]
    return next((name for name, pattern in _TEXTS if pattern.search(head)), "")
