"""A plugin's directory on the server's machine."""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import git
from gitdb.exc import ODBError

from iocmng.core.source import LocalSource, refused
from iocmng.errors import PluginRejected
from iocmng.loading.git_process import IsolatedRepo
from iocmng.loading.git_tree import CHUNK_BYTES, list_blobs
from iocmng.loading.places import allowed_directory
from iocmng.loading.repository import Origin
from iocmng.loading.tree import CACHES, TreeWriter, refused_file, walk
from iocmng.settings import Settings

SKIPPED = CACHES | {".git", ".venv"}


def copy_local(source: LocalSource, workspace: Path, settings: Settings) -> Origin:
    """Copy the plugin's directory to `workspace/files`, under the rules that hold for repositories.

    Raises:
        PluginRejected: If it is not there, not below a local root, or holds what must not be taken.
    """
    root = allowed_directory(source.directory, settings, "local_path")
    directory = allowed_directory(str(root / source.path), settings, "path")
    if not directory.is_dir():
        raise refused(f"there is no directory {directory} on the server; check local_path and path")
    files = workspace / "files"
    writer = TreeWriter(files, settings.fetch_max_bytes, settings.fetch_max_files)
    _copy(directory, writer, settings.state.resolve())
    writer.finish()
    outer, copied = root / "requirements.txt", workspace / "outer" / "requirements.txt"
    has_outer = directory != root and outer.is_file() and not outer.is_symlink()
    if has_outer:
        copied.parent.mkdir()
        shutil.copyfile(outer, copied)
    return Origin(_clean_commit(directory, files, settings.fetch_max_files), None, copied if has_outer else None)


def _copy(top: Path, writer: TreeWriter, state: Path) -> None:
    pending = [(top, "")]
    while pending:
        directory, prefix = pending.pop()
        for entry in _scan(directory):
            name = f"{prefix}{entry.name}"
            if entry.name in SKIPPED or Path(entry.path) == state:
                continue
            if entry.is_symlink():
                writer.add_link(name, str(Path(entry.path).readlink()))
            elif entry.is_dir(follow_symlinks=False):
                writer.enter(name)
                pending.append((Path(entry.path), f"{name}/"))
            else:
                _copy_file(entry.path, name, writer)


def _scan(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except OSError as error:
        raise _unreadable(directory, error) from error


def _copy_file(path: str, name: str, writer: TreeWriter) -> None:
    # Opened without following links and without waiting for the other end of a pipe, then looked at.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise refused_file(name, "this is no regular file (a pipe, a socket or a device); remove it")
        writer.expect(status.st_size)
        chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
        writer.add_file(name, chunks, executable=bool(status.st_mode & 0o100))


def _unreadable(path: object, error: OSError) -> PluginRejected:
    return refused(f"cannot read {path}: {error.strerror}; the server's user needs access to it")


def _clean_commit(directory: Path, files: Path, max_entries: int) -> str | None:
    """Return the commit of the surrounding repository, if the copied files are exactly those of its HEAD.

    Contents are compared, not `git status` asked: that may run filters which the repository configures.
    """
    try:
        with IsolatedRepo(directory, search_parent_directories=True, expand_vars=False) as repository:
            if repository.working_tree_dir is None:
                return None
            inside = directory.relative_to(Path(repository.working_tree_dir).resolve()).as_posix()
            commit = repository.head.commit
            committed = list_blobs(commit.tree, inside, max_entries)
    except (git.GitError, ODBError, PluginRejected, configparser.Error, OSError, TypeError, ValueError):
        return None  # no repository, or one that git cannot read: the files belong to no known commit
    expected = {name: sha for name, sha in committed.items() if not SKIPPED.intersection(name.split("/"))}
    return commit.hexsha if expected == _blobs(files) else None


def _blobs(files: Path) -> dict[str, str]:
    """Return git's SHA of each copied file by its path."""
    return {path.relative_to(files).as_posix(): _blob_sha(path) for path in walk(files)}


def _blob_sha(path: Path) -> str:
    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
