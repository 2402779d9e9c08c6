"""An issue: a title, and below it what happened, in prose, code, logs and links. What it is about stands in its title."""

import re
from dataclasses import dataclass

LONGEST = 40_000
"""Characters of an issue that are looked at; what is left of them without links and lists of versions is then cut again."""
FEWEST_WORDS = 20
"""Words of an issue at least: fewer are a question that happens to have two lines."""
FEWEST_IN_TITLE = 3
TITLE = 2.0
"""How much more a word of the title says than one below it. On messages of commits that mend something, in public repositories
outside the deny-list (training/ranker/issues.py), that and CODE raise the mean reciprocal rank of the first changed file from
.588 to .622, .644 to .803 and .787 to .879 (three repositories, weights for questions)."""
CODE = 0.5
"""How much a word says that stands only in code, a log or a quotation: most of it is the way to the fault, not the fault."""

_COMMENT = re.compile(r"<!--.*?-->", re.S)
_LINK = re.compile(r"\b(?:https?|ftp)://[^\s)\]>\"']+")
_VERSION = re.compile(r"^\W*[\w.+-]+\s*(?:==|[:=@]|\s)\s*v?\d+(?:\.\w+)+\W*$", re.M)
_FENCED = re.compile(r"^\s*(```|~~~).*?(?:^\s*\1\s*$|\Z)", re.S | re.M)
_INDENTED = re.compile(r"^(?: {4}|\t|>|\.\.\. |In \[\d+\]|  File \").*$", re.M)
_CODE_LINE = re.compile(
    r"[{(\[;:,]$|^(?:import|from|def|class|func|fn|const|let|var|#include|package|using|public|private)\b|=>|=="
)
_FILE = re.compile(r"(?:[\w.@~-]*/)+([\w.@-]+/[\w@-]+\.[A-Za-z]{1,5})\b")
_MODULE = re.compile(r"\b[a-z_]\w+(?:\.[a-z_]\w+)+(?<!\.py)\b")


@dataclass(frozen=True, slots=True)
class Issue:
    """`text` is title and body without links, comments and lists of versions; `prose` is that without code and logs."""

    title: str
    text: str
    prose: str

    @property
    def paths(self) -> tuple[str, ...]:
        """Ends of paths that the issue names: of files, which an installed package has elsewhere, and of dotted modules."""
        files = _FILE.findall(self.text)
        modules = [f"{'/'.join(name.split('.')[-2:])}.py" for name in _MODULE.findall(self.text)]
        return tuple(dict.fromkeys((*files, *modules)))


def as_issue(question: str) -> Issue | None:
    """The question as an issue; None if it is none: a line or two, or code and logs without a title in words."""
    text = _VERSION.sub("", _LINK.sub(" ", _COMMENT.sub(" ", question[:LONGEST]))).strip()
    title, _, body = text.partition("\n")
    if not body.strip() or len(text.split()) < FEWEST_WORDS or not _is_title(title.strip()):
        return None
    return Issue(title.strip(), text, _INDENTED.sub(" ", _FENCED.sub(" ", text)))


def _is_title(line: str) -> bool:
    """Whether a first line is words, and not code or the beginning of a log."""
    return len(line.split()) >= FEWEST_IN_TITLE and not _CODE_LINE.search(line)
