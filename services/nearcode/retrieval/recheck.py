"""The last word on what may be returned: the index filters, and is not trusted to have done so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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

    def keep(self, hits: Sequence[Hit], behind: bool = False) -> list[Hit]:
        """The hits that count. Hits outside the folder that was asked for, or of the edited file, are left out uncounted.
        So are points of another recipe; a collection filled `behind` holds one at a time, with generations of its own."""
        kept = []
        for hit in hits:
            if not self._readable(hit):
                self.dropped.add(hit.id)
            elif self._wanted(hit.chunk.path) and (behind or self._made(hit)):
                kept.append(hit)
        return kept

    def _readable(self, hit: Hit) -> bool:
        chunk = hit.chunk
        if chunk.repository not in self.scope.repositories:
            return False
        revision = self.revisions.get(chunk.repository)
        return revision is not None and revision.blob(chunk.path) == chunk.blob

    def _made(self, hit: Hit) -> bool:
        """Whether the revision's recipe made the point."""
        revision = self.revisions[hit.chunk.repository]
        return revision.oldest <= hit.generation <= revision.generation

    def _wanted(self, path: str) -> bool:
        if self.edited and path == self.edited:
            return False
        return not self.folder or path == self.folder or path.startswith(self.folder + "/")
