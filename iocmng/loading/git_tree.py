"""From git's objects to files."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import git
from gitdb.exc import ODBError

from iocmng.core.source import refused
from iocmng.errors import PluginRejected
from iocmng.loading.tree import CACHES, MAX_NAME_BYTES, TreeWriter, refused_file, too_many

CHUNK_BYTES = 1 << 20
MAX_LINK_BYTES = 4096
MAX_OUTER_BYTES = 256 * 1024
_MAX_ENTRY_BYTES = MAX_NAME_BYTES + 30
_LISTED = 10_000
"""Entries that a directory may have beside the plugin's own, which may be few."""


def write_tree(root: git.Tree, path: str, writer: TreeWriter) -> None:
    """Write a directory of a commit.

    Args:
        root: The commit's whole tree.
        path: Directory in it; "" is all of it.
        writer: Takes the files.

    Raises:
        PluginRejected: If there is no such directory, or it holds what must not be taken or cannot be read.
    """
    with _readable():
        top = _directory(root, path, writer.max_entries)
        pending = [(top, "")]
        while pending:
            tree, prefix = pending.pop()
            for own_name, entry in _entries(tree, writer.max_entries):
                name = f"{prefix}{own_name}"
                match stat.S_IFMT(entry.mode):
                    case stat.S_IFDIR if own_name in CACHES:
                        continue
                    case stat.S_IFDIR:
                        writer.enter(name)
                        pending.append((entry, f"{name}/"))
                    case stat.S_IFREG:
                        writer.expect(entry.size)
                        writer.add_file(name, _content(entry), executable=bool(entry.mode & 0o100))
                    case stat.S_IFLNK:
                        writer.add_link(name, _link_target(entry, name))
                    case _:
                        raise _submodule(name)
        writer.finish()


def write_file(root: git.Tree, name: str, target: Path, max_entries: int) -> bool:
    """Write one file of the root to `target`; return whether there is such a file."""
    with _readable():
        for entry_name, entry in _entries(root, max_entries):
            if entry_name == name and stat.S_IFMT(entry.mode) == stat.S_IFREG:
                if entry.size > MAX_OUTER_BYTES:
                    raise refused_file(name, f"the file is larger than {MAX_OUTER_BYTES} bytes")
                target.parent.mkdir()
                target.write_bytes(b"".join(_content(entry)))
                return True
    return False


def list_blobs(root: git.Tree, path: str, max_entries: int) -> dict[str, str]:
    """Return the SHA of each file and link below a directory by its path; a submodule counts as a file."""
    blobs: dict[str, str] = {}
    pending = [(_directory(root, path, max_entries), "")]
    while pending and len(blobs) <= max_entries:
        tree, prefix = pending.pop()
        for name, entry in _entries(tree, max_entries):
            if stat.S_IFMT(entry.mode) == stat.S_IFDIR:
                pending.append((entry, f"{prefix}{name}/"))
            else:
                blobs[f"{prefix}{name}"] = entry.hexsha
    return blobs


def _directory(root: git.Tree, path: str, max_entries: int) -> git.Tree:
    """Return the tree of a directory."""
    tree: Any = root
    for part in (part for part in path.split("/") if part not in ("", ".")):
        found = next((entry for name, entry in _entries(tree, max_entries) if name == part), None)
        match stat.S_IFMT(found.mode) if found is not None else None:
            case stat.S_IFDIR:
                tree = found
            case stat.S_IFLNK:
                raise refused(f"path {path!r} leads through the symbolic link {part!r}; give the directory itself")
            case None:
                names = [name for name, entry in _entries(tree, max_entries) if stat.S_IFMT(entry.mode) == stat.S_IFDIR]
                known = f"; beside it are {', '.join(sorted(names)[:10])}" if names else ""
                raise refused(f"the repository has no directory {path!r}: there is no {part!r}{known}")
            case _:
                raise refused(f"path {path!r} is no directory: {part!r} is a file or a submodule")
    return tree


def _entries(tree: Any, max_entries: int) -> Iterator[tuple[str, Any]]:
    """Yield the entries of one directory by name; the size is asked first, since a listing is read as a whole."""
    if tree.size > max(max_entries, _LISTED) * _MAX_ENTRY_BYTES:
        raise too_many(max_entries)
    start = f"{tree.path}/" if tree.path else ""
    for entry in tree:
        yield str(entry.path).removeprefix(start), entry


def _content(entry: Any) -> Iterator[bytes]:
    stream = entry.data_stream
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _link_target(entry: Any, name: str) -> str:
    if entry.size > MAX_LINK_BYTES:
        raise refused_file(name, f"this symbolic link is longer than {MAX_LINK_BYTES} bytes")
    try:
        return b"".join(_content(entry)).decode()
    except UnicodeDecodeError as error:
        raise refused_file(name, "this symbolic link is not UTF-8") from error


def _submodule(name: str) -> PluginRejected:
    return refused_file(
        name,
        "this is a submodule, which iocmng does not fetch; put its files into the repository, or require its package",
    )


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn what GitPython raises over broken or forged objects into a failed check."""
    try:
        yield
    except (git.GitError, ODBError, TypeError, ValueError) as error:
        raise refused(f"the repository's objects cannot be read ({error}); check it with `git fsck`") from error
