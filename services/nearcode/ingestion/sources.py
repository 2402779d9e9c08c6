"""Opens the source that a manifest names."""

from pathlib import Path

from nearcode.domain.errors import NotFound
from nearcode.domain.manifest import Manifest
from nearcode.domain.address import folder_of
from nearcode.ingestion.folder import FolderSource
from nearcode.ingestion.git import GitSource, git_dir_of
from nearcode.ingestion.ports import Source, Sources
from nearcode.ingestion.settings import IngestionSettings


def open_sources(settings: IngestionSettings, clones: Path) -> Sources:
    """A folder as it is now when no branch is named; else a branch, of a repository on this machine or of a clone of ours."""

    def open_source(manifest: Manifest) -> Source:
        local = manifest.url.startswith("file:")
        if local and not manifest.branch:
            folder = folder_of(manifest.url)
            if not folder.is_dir():
                raise NotFound(f"{folder} is not a folder")
            return FolderSource(folder, settings.largest_file)
        git_dir = git_dir_of(folder_of(manifest.url)) if local else clones / manifest.repository
        if git_dir is None:
            raise NotFound(f"{folder_of(manifest.url)} is not a git repository")
        return GitSource(
            manifest.url,
            manifest.branch,
            git_dir,
            settings.largest_file,
            fetch=not local,
            protocols=settings.git_protocols,
            seconds=settings.fetch_seconds,
        )

    return open_source
