"""Go: a package is a folder, named by the module path of go.mod and the folder's path below it."""

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.tree import Tree, within


class GoResolver:
    """Packages to their files, tests left out. Without go.mod, the folder that ends most like the import."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        modules = [each for each in tree.projects if each.kind == "go.mod" and each.name]
        self._modules = sorted(modules, key=lambda each: (-len(each.name), each.folder))

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The package's files."""
        for module in self._modules:
            if within(imported.target, module.name):
                below = imported.target[len(module.name) + 1 :]
                return self._package("/".join(part for part in (module.folder, below) if part))
        return () if self._modules else self._guess(imported.target)

    def _guess(self, target: str) -> tuple[str, ...]:
        parts = target.split("/")
        if "." not in parts[0]:  # the standard library's have no host
            return ()
        for start in range(3, len(parts)):
            if found := self._package("/".join(parts[start:])):
                return found
        return self._package("") if len(parts) == 3 else ()

    def _package(self, folder: str) -> tuple[str, ...]:
        return tuple(file for file in self._tree.files(folder, ".go") if not file.endswith("_test.go"))
