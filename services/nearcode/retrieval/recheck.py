"""The last word on what may be returned: the index filters, and is not trusted to have done so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nearcode.domain.index import Hit
from nearcode.domain.principal import Scope
from nearcode.domain.repository import Revision


@dataclass(slots=True)
class Recheck:
    """Lets a hit count only if its repository is in the scope and is served at a revision that maps its path to its blob, and
    if that revision's recipe made the point: while a repository is indexed anew, points of both lie side by side.

    It runs before fusion, so that what may not be seen does not even move a score. `dropped` holds the ids that failed; any
    of them proves a fault of the filter, or a revision that changed while the question was on its way.
    """

    scope: Scope
    revisions: Mapping[str, Revision]
    folder: str = ""
    edited: str = ""
    dropped: set[str] = field(default_factory=set)
    _files: dict[tuple[str, str], "_File"] = field(default_factory=dict)

    def keep(self, hits: Sequence[Hit], behind: bool = False) -> list[Hit]:
        """The hits that count. Hits outside the folder that was asked for, or of the edited file, are left out uncounted.
        So are points of another recipe; a collection filled `behind` holds one at a time, with generations of its own."""
        kept = []
        for hit in hits:
            chunk = hit.chunk
            key = chunk.repository, chunk.path
            file = self._files.get(key) or self._files.setdefault(key, self._file(*key))
            if file.blob is None or file.blob != chunk.blob:
                self.dropped.add(hit.id)
            elif file.wanted and (behind or file.oldest <= hit.generation <= file.newest):
                kept.append(hit)
        return kept

    def _file(self, repository: str, path: str) -> "_File":
        revision = self.revisions.get(repository) if repository in self.scope.repositories else None
        if revision is None:
            return _NOT_READABLE
        return _File(revision.blob(path), self._wanted(path), revision.oldest, revision.generation)

    def _wanted(self, path: str) -> bool:
        if self.edited and path == self.edited:
            return False
        return not self.folder or path == self.folder or path.startswith(self.folder + "/")


class _File(NamedTuple):
    """What is known of a file: the blob that is served, if any; whether it was asked for; which generations made its points."""

    blob: str | None
    wanted: bool
    oldest: int
    newest: int


_NOT_READABLE = _File(None, wanted=False, oldest=0, newest=0)
