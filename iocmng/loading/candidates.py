"""Which files of a plugin may hold its class, found by reading them, so that no other file needs to be imported."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iocmng.loading.tree import walk

FRAMEWORK = "iocmng"
_NEVER = ("setup.py", "conftest.py", "test_*.py", "*_test.py", "__init__.py", "__main__.py")


@dataclass(frozen=True, slots=True)
class _Module:
    path: Path
    imports: frozenset[str]
    defines_class: bool


def find_candidates(directory: Path) -> list[Path]:
    """Return the top-level files that define a class and import iocmng, themselves or through their neighbours.

    Where there are none, those that define a class at all: the base class may come from a required package.
    """
    modules = {name: module for name, module in map(_read, *_python_files(directory)) if module is not None}
    connected = _connected(modules)
    possible = [
        (name, module)
        for name, module in sorted(modules.items())
        if module.path.parent == directory and module.defines_class and not _is_excluded(module.path)
    ]
    return [module.path for name, module in possible if name in connected] or [module.path for _, module in possible]


def _python_files(directory: Path) -> tuple[list[Path], list[str]]:
    """Return the Python files and the names under which they would be imported."""
    paths = [path for path in walk(directory) if path.suffix == ".py" and path.is_file()]
    places = [path.relative_to(directory).with_suffix("").parts for path in paths]
    names = [".".join(place[:-1] if place[-1] == "__init__" else place) for place in places]
    return paths, names


def _read(path: Path, name: str) -> tuple[str, _Module | None]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return name, None  # the syntax check names such a file; here it has no class
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    nodes = list(ast.walk(tree))
    imports = frozenset(word for node in nodes for word in _imported(node, package))
    return name, _Module(path, imports, any(isinstance(node, ast.ClassDef) for node in nodes))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the names of all modules that an import statement may load, the packages above them included."""
    match node:
        case ast.Import(names=names):
            full = [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            start = ".".join((*above, *([module] if module else [])))
            full = [start, *(f"{start}.{alias.name}" for alias in names)]
        case _:
            return
    for name in full:
        parts = name.split(".")
        yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _connected(modules: dict[str, _Module]) -> set[str]:
    """Return the modules from which imports lead to the framework."""
    connected = {FRAMEWORK}
    while more := {name for name, module in modules.items() if module.imports & connected} - connected:
        connected |= more
    return connected


def _is_excluded(path: Path) -> bool:
    """Tell whether a file is never a plugin's: tests, packaging, and second names of other top-level files."""
    is_alias = path.is_symlink() and path.resolve().parent == path.parent.resolve()
    return is_alias or any(fnmatch.fnmatchcase(path.name, pattern) for pattern in _NEVER)
