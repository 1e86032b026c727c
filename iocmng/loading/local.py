"""A plugin's directory on the server's machine."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import git
from gitdb.exc import ODBError

from iocmng.core.source import LocalSource, refused
from iocmng.errors import PluginRejected
from iocmng.loading import requirements
from iocmng.loading.git_process import IsolatedRepo
from iocmng.loading.git_tree import CHUNK_BYTES, MAX_OUTER_BYTES, list_blobs
from iocmng.loading.local_repository import check_repository, find_repository
from iocmng.loading.places import allowed_directory, is_below_roots
from iocmng.loading.repository import Origin
from iocmng.loading.tree import CACHES, TreeWriter, refused_file, walk
from iocmng.settings import Settings

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
SKIPPED = CACHES | {".git", ".venv"}


def copy_local(source: LocalSource, workspace: Path, settings: Settings) -> Origin:
    """Copy the plugin's directory to `workspace/files`, under the rules that hold for repositories.

    Raises:
        PluginRejected: If it is not there, not below a local root, or holds what must not be taken.
    """
    if settings.require_signed:
        raise refused(
            "this server takes signed code only (IOCMNG_REQUIRE_SIGNED), and a local_path has no signature; commit and "
            "sign it in a git repository, and give that as git_url (a file: URL will do)"
        )
    root = allowed_directory(source.directory, settings, "local_path")
    directory = allowed_directory(str(root / source.path), settings, "path")
    if directory.is_relative_to(settings.state.resolve()):
        raise refused(f"{directory} belongs to the server's own state, which is no place for plugins; put it elsewhere")
    if not directory.is_dir():
        raise refused(f"there is no directory {directory} on the server; check local_path and path")
    files = workspace / "files"
    writer = TreeWriter(files, settings.fetch_max_bytes, settings.fetch_max_files)
    with _opened(directory) as descriptor:
        _copy(descriptor, str(directory), "", writer, str(settings.state.resolve()))
    writer.finish()
    has_outer = directory != root and _copy_outer(root, workspace / "outer" / requirements.FILE_NAME)
    outer = workspace / "outer" / requirements.FILE_NAME if has_outer else None
    return Origin(_clean_commit(directory, files, settings), None, outer)


# Everything is opened by its name in a directory that is open, and never through a link: what was found to lie below a
# local root cannot be exchanged for a way out of it while it is copied.


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Open a directory whose path holds no links; one that holds some by now is refused."""
    descriptor = os.open("/", _DIRECTORY)
    try:
        for part in directory.parts[1:]:
            inner = _open(part, descriptor, _DIRECTORY, str(directory))
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _open(name: str, parent: int, flags: int, path: str) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise _unreadable(path, error) from error


def _copy(parent: int, path: str, prefix: str, writer: TreeWriter, state: str) -> None:
    for entry in _scan(parent, path):
        name, inner = f"{prefix}{entry.name}", f"{path}/{entry.name}"
        if entry.name in SKIPPED or inner == state:
            continue
        if entry.is_symlink():
            writer.add_link(name, _read_link(entry.name, parent, inner))
        elif entry.is_dir(follow_symlinks=False):
            writer.enter(name)
            descriptor = _open(entry.name, parent, _DIRECTORY, inner)
            try:
                _copy(descriptor, inner, f"{name}/", writer, state)
            finally:
                os.close(descriptor)
        else:
            _copy_file(entry.name, parent, inner, name, writer)


def _scan(directory: int, path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_link(name: str, parent: int, path: str) -> str:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        raise _unreadable(path, error) from error


def _copy_file(own_name: str, parent: int, path: str, name: str, writer: TreeWriter) -> None:
    # Opened without waiting for the other end of a pipe, then looked at.
    with open(_open(own_name, parent, os.O_RDONLY | os.O_NONBLOCK, path), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise refused_file(name, "this is no regular file (a pipe, a socket or a device); remove it")
        writer.expect(status.st_size)
        chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
        writer.add_file(name, chunks, executable=bool(status.st_mode & 0o100))


def _copy_outer(root: Path, target: Path) -> bool:
    """Copy the root's own requirements.txt, if it is a plain file there; return whether it is."""
    with _opened(root) as descriptor:
        try:
            found = os.stat(requirements.FILE_NAME, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        path = f"{root}/{requirements.FILE_NAME}"
        with open(_open(requirements.FILE_NAME, descriptor, os.O_RDONLY | os.O_NONBLOCK, path), "rb") as file:
            content = file.read(MAX_OUTER_BYTES + 1)
    if len(content) > MAX_OUTER_BYTES:
        raise refused_file(requirements.FILE_NAME, f"the file is larger than {MAX_OUTER_BYTES} bytes")
    target.parent.mkdir()
    target.write_bytes(content)
    return True


def _unreadable(path: object, error: OSError) -> PluginRejected:
    return refused(f"cannot read {path}: {error.strerror}; the server's user needs access to it")


def _clean_commit(directory: Path, files: Path, settings: Settings) -> str | None:
    """Return the commit of the surrounding repository, if the copied files are exactly those of its HEAD.

    A repository below a local root that leads out of the roots is not read. Contents are compared, not `git status`
    asked: that may run filters which the repository configures.
    """
    try:
        place = find_repository(directory)
        if place is not None and is_below_roots(place, settings):
            check_repository(place, settings)
        with IsolatedRepo(directory, search_parent_directories=True, expand_vars=False) as repository:
            if repository.working_tree_dir is None:
                return None
            inside = directory.relative_to(Path(repository.working_tree_dir).resolve()).as_posix()
            commit = repository.head.commit
            committed = list_blobs(commit.tree, inside, settings.fetch_max_files)
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
