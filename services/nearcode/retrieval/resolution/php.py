"""PHP: namespaces by composer.json's PSR-4 prefixes, else by the ends of paths; required files by their paths."""

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.dotted import DottedResolver, expanded
from nearcode.retrieval.resolution.files import FileResolver
from nearcode.retrieval.resolution.tree import Tree, join


class PhpResolver:
    """`use` and `require`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        prefixes = [
            (prefix.strip("\\"), project.folder, folder)
            for project in tree.projects if project.kind == "composer.json"
            for prefix, folders in project.aliases.items() for folder in folders
        ]  # fmt: skip
        self._prefixes = sorted(prefixes, key=lambda each: (-len(each[0]), each))
        self._names = DottedResolver(tree, (".php", ".phtml"))
        self._required = FileResolver(tree, (".php",))

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The class's file, or those of the namespace."""
        if "\\" not in imported.target and ("/" in imported.target or imported.target.endswith(".php")):
            return self._required.resolve(path, imported)
        names = [name.replace(".", "\\").strip("\\") for name in expanded(imported.target)]
        found = [file for name in names for file in self._autoloaded(name)]
        return tuple(dict.fromkeys(found)) if found or self._known(names) else self._names.resolve(path, imported)

    def _known(self, names: list[str]) -> bool:
        """Whether composer.json says where such a name would be, if it were here."""
        return bool(self._prefixes) and any(name.count("\\") for name in names)

    def _autoloaded(self, name: str) -> list[str]:
        for prefix, root, folder in self._prefixes:
            if name == prefix or name.startswith(prefix + "\\") or not prefix:
                rest = name[len(prefix) :].strip("\\").replace("\\", "/")
                place = join(root, "/".join(part for part in (folder.strip("/"), rest) if part))
                if place is not None and f"{place}.php" in self._tree.paths:
                    return [f"{place}.php"]
                if place is not None and (files := self._tree.files(place, ".php")):
                    return files
        return []
