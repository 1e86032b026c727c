"""A plugin's tree of files on its way to the disk: names, links and sizes are checked before anything is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from iocmng.core.source import refused
from iocmng.errors import CheckFailure, PluginRejected

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How every pointer file of Git LFS begins."""

CACHES = frozenset({"__pycache__"})
"""Directories that are never part of a plugin: Python makes them, and stale ones would hide the source."""


def refused_file(path: str, message: str) -> PluginRejected:
    """Return the error of a file that must not become part of a plugin."""
    return PluginRejected.because(CheckFailure("clone", message, path))


def too_many(limit: int) -> PluginRejected:
    """Return the error of a tree with more entries than a plugin may have."""
    return refused(
        f"the plugin's directory holds more than {limit} files and directories; keep data out of it, choose a smaller "
        "directory with `path`, or raise IOCMNG_FETCH_MAX_FILES"
    )


def _named_twice(path: str) -> PluginRejected:
    return refused_file(path, "the tree names this path twice; check the repository with `git fsck`")


class TreeWriter:
    """Writes files and symbolic links below one directory, and nothing outside of it.

    Links are written last, so that no file is ever written through one.
    """

    def __init__(self, root: Path, max_bytes: int, max_entries: int) -> None:
        """Make the empty directory.

        Args:
            root: The directory.
            max_bytes: How much all files together may hold.
            max_entries: How many files and directories there may be.
        """
        self._root = root
        self._max_bytes = max_bytes
        self.max_entries = max_entries
        self._bytes = 0
        self._entries = 0
        self._links: dict[str, str] = {}
        root.mkdir(parents=True)

    def enter(self, path: str) -> None:
        """Count a directory and check its name; it is made with its first file."""
        self._check_name(path)
        self._entries += 1
        if self._entries > self.max_entries:
            raise too_many(self.max_entries)

    def expect(self, size: int) -> None:
        """Check that a file of this size still fits.

        Raises:
            PluginRejected: If the tree becomes larger than the limit.
        """
        if self._bytes + size > self._max_bytes:
            raise refused(
                f"the plugin's directory is larger than {self._max_bytes} bytes; keep data out of it, choose a smaller "
                "directory with `path`, or raise IOCMNG_FETCH_MAX_BYTES"
            )

    def add_file(self, path: str, chunks: Iterable[bytes], *, executable: bool) -> None:
        """Write one regular file."""
        self.enter(path)
        target = self._root / path
        self._make_parent(path)
        try:
            with target.open("xb") as file:
                for chunk in chunks:
                    if file.tell() == 0 and chunk.startswith(LFS_POINTER):
                        raise _pointer(path)
                    self.expect(len(chunk))
                    self._bytes += len(chunk)
                    file.write(chunk)
        except FileExistsError as error:
            raise _named_twice(path) from error
        target.chmod(0o755 if executable else 0o644)

    def add_link(self, path: str, target: str) -> None:
        """Remember a symbolic link; `finish` writes it."""
        self.enter(path)
        self._make_parent(path)
        self._links[path] = target

    def finish(self) -> None:
        """Write the links and check where they lead.

        Raises:
            PluginRejected: If one leaves the tree.
        """
        root = os.path.realpath(self._root)
        for path, target in self._links.items():
            try:
                (self._root / path).symlink_to(target)
            except (OSError, ValueError) as error:
                # Not the error's own text: it repeats where the link leads to, which may be anything.
                reason = error.strerror if isinstance(error, OSError) else "it leads to no legal path"
                raise refused_file(path, f"this symbolic link cannot be made: {reason}") from error
        for path, target in self._links.items():
            real = os.path.realpath(self._root / path)
            if Path(target).is_absolute() or not Path(real).is_relative_to(root):
                raise refused_file(
                    path,
                    f"this symbolic link leads to {target!r}, outside of the plugin's directory; "
                    "put a copy of the file in its place",
                )

    def _make_parent(self, path: str) -> None:
        # No link exists yet, so this cannot lead outside.
        try:
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _named_twice(path) from error

    def _check_name(self, path: str) -> None:
        try:
            encoded = path.encode()
        except UnicodeEncodeError as error:
            raise refused(f"the file name {path!a} is not UTF-8; rename the file") from error
        for name in path.split("/"):
            if name in ("", ".", "..") or name.lower() == ".git" or "\0" in name:
                raise refused(f"the tree holds the forbidden file name {path!r}; check it with `git fsck`")
            if len(name.encode()) > MAX_NAME_BYTES or len(encoded) > MAX_PATH_BYTES:
                raise refused(f"the file name {path[:80]!r}… is longer than {MAX_PATH_BYTES} bytes; shorten it")


def _pointer(path: str) -> PluginRejected:
    return refused_file(
        path,
        "this is a pointer of Git LFS, and iocmng does not fetch what it stands for; put the file itself into the "
        "repository (`git lfs untrack`), or keep it where the plugin can read it at run time",
    )


def tree_digest(root: Path) -> str:
    """Return the SHA-256 of a tree: the names, kinds, executable bits and contents of its files."""
    lines = sorted(_describe(path, root) for path in walk(root))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """Yield the files and links of a tree, caches left out; links are not followed."""
    for directory, names, files in os.walk(root):
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        names[:] = [name for name in names if name not in CACHES and name not in links]
        yield from (here / name for name in (*files, *links))


def _describe(path: Path, root: Path) -> bytes:
    name = path.relative_to(root).as_posix().encode()
    if path.is_symlink():
        return b"link\0" + name + b"\0" + os.fsencode(path.readlink()) + b"\0"
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    kind = b"program" if path.stat().st_mode & 0o100 else b"file"
    return kind + b"\0" + name + b"\0" + content.encode() + b"\0"
