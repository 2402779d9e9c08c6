"""Opens the source that a manifest names, and deletes the clone of one that is not followed any more."""

from dataclasses import dataclass, field
from pathlib import Path

from nearcode.domain.address import folder_of
from nearcode.domain.errors import NotFound
from nearcode.domain.manifest import Manifest
from nearcode.ingestion.clone import Clone
from nearcode.ingestion.credentials import Access, origin
from nearcode.ingestion.folder import FolderSource
from nearcode.ingestion.git import GitSource, git_dir_of
from nearcode.ingestion.git_command import Git
from nearcode.ingestion.ports import Source
from nearcode.ingestion.selection import Selection
from nearcode.ingestion.settings import IngestionSettings


@dataclass(frozen=True, slots=True)
class RepositorySources:
    """Implements ports.Sources: a folder as it is now when no branch is named; else a branch, of a repository on this machine
    or of a clone of ours, which lies in `clones`."""

    settings: IngestionSettings
    clones: Path
    _clones: dict[str, tuple[Git, Clone]] = field(default_factory=dict)
    """One for each repository, whatever is opened under another policy: who fetches takes turns."""

    def __call__(self, manifest: Manifest) -> Source:
        settings, local = self.settings, manifest.url.startswith("file:")
        selection = Selection(settings.largest_file, manifest.policy)
        if local and not manifest.branch:
            folder = folder_of(manifest.url)
            if not folder.is_dir():
                raise NotFound(f"{folder} is not a folder")
            return FolderSource(folder, selection)
        if local:
            git_dir = git_dir_of(folder_of(manifest.url))
            if git_dir is None:
                raise NotFound(f"{folder_of(manifest.url)} is not a git repository")
            return GitSource(manifest.url, manifest.branch, Git(git_dir), selection)
        git, clone = self._clone(manifest)
        return GitSource(manifest.url, manifest.branch, git, selection, clone)

    def forget(self, manifest: Manifest) -> None:
        if not manifest.url.startswith("file:"):
            _, clone = self._clone(manifest)
            clone.delete()
            self._clones.pop(manifest.repository, None)

    def _clone(self, manifest: Manifest) -> tuple[Git, Clone]:
        if manifest.repository not in self._clones:
            settings = self.settings
            git = Git(self.clones / manifest.repository, settings.git_protocols, settings.fetch_seconds)
            ca_file = settings.git_ca_files.get(origin(manifest.url), settings.git_ca_file)
            access = Access(manifest.repository, settings.credentials_dir, ca_file)
            self._clones[manifest.repository] = git, Clone(git, manifest.url, manifest.branch, access)
        return self._clones[manifest.repository]
