"""The store of bundles: content-addressed, complete or not there at all.

state/staging/<uuid>/        work in progress; gone when it ends, however it ends
state/bundles/<digest>/      files/: the plugin; packages: the key of its requirements, if it has any
state/packages/<key>/        installed requirements, shared by the bundles that name them
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from iocmng.core.ports.processes import Bundle
from iocmng.core.spec import FilesRef
from iocmng.loading.checks import read_manifest
from iocmng.loading.tree import tree_digest
from iocmng.settings import Settings

_ATTEMPTS = 5
_UNLOCKED_SECONDS = 2.0
"""A workspace this young may not have its lock yet."""

_ABANDONED_SECONDS = 600.0


@contextlib.contextmanager
def staging(settings: Settings) -> Iterator[Path]:
    """Make a directory for one piece of work and remove it at the end, whatever happens.

    It is locked meanwhile: the system lifts the lock of a process that is killed, and the next forget_bundles knows.
    """
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    workspace = settings.state / "staging" / uuid.uuid4().hex
    workspace.mkdir(parents=True)
    descriptor = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield workspace
    finally:
        _remove(workspace)
        os.close(descriptor)


def packages_directory(settings: Settings, key: str) -> Path:
    """Return where the installed requirements of this key lie."""
    return settings.state / "packages" / key


def store_packages(staged: Path, key: str, settings: Settings) -> Path:
    """Move freshly installed requirements to their place; those that another fetch brought first are kept."""
    return _publish(staged, packages_directory(settings, key), lambda _: True)


def store_bundle(files: Path, packages_key: str | None, settings: Settings) -> Path:
    """Move a plugin's files into the store; return the bundle's directory, which is named by its digest.

    A bundle that is there already is kept only if its files are still those that its digest names.
    """
    digest = _digest(tree_digest(files), packages_key)
    staged = files.parent / "bundle"
    staged.mkdir()
    files.rename(staged / "files")
    if packages_key:
        (staged / "packages").write_text(packages_key, encoding="ascii")
    return _publish(staged, settings.state / "bundles" / digest, _is_intact)


def open_bundle(files: FilesRef, settings: Settings) -> Bundle | None:
    """Return a bundle of the store, or None if it is not there, or is not what its name says any longer."""
    directory = settings.state / "bundles" / files.digest
    key = _packages_key(directory)
    packages = packages_directory(settings, key) if key else None
    if not _is_intact(directory) or (packages is not None and not packages.is_dir()):
        return None
    return Bundle(
        digest=files.digest,
        directory=str(directory / "files"),
        packages=str(packages) if packages else None,
        manifest=read_manifest(directory / "files"),
        commit=files.commit,
        branch=files.branch,
        signed_by=files.signed_by,
    )


def bundle_is_here(bundle: Bundle) -> bool:
    """Tell whether a bundle that another node knows lies in the store of this one, and is what its name says."""
    return _is_intact(Path(bundle.directory).parent) and (bundle.packages is None or Path(bundle.packages).is_dir())


def pack_bundle(bundle: Bundle, settings: Settings) -> bytes:
    """Return a bundle and its requirements as one archive, to be laid into the store of another node."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        parts = [Path(bundle.directory).parent, *([Path(bundle.packages)] if bundle.packages else [])]
        for part in parts:
            tar.add(part, arcname=str(part.relative_to(settings.state)))
    return archive.getvalue()


def unpack_bundle(packed: bytes, settings: Settings) -> None:
    """Lay what pack_bundle has packed into the store; what is there already and intact stays."""
    with staging(settings) as workspace, tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(workspace, filter="data")
        for packages in _children(workspace / "packages"):  # a bundle is complete only with its requirements
            _publish(packages, packages_directory(settings, packages.name), lambda _: True)
        for bundle in _children(workspace / "bundles"):
            _publish(bundle, settings.state / "bundles" / bundle.name, _is_intact)


def forget_bundles(settings: Settings, keep: frozenset[str]) -> None:
    """Remove all bundles except those to be kept, the requirements that none of these uses, and abandoned work.

    Not to be called between the start of a fetch and the moment from which `keep` names what it returned.
    """
    used = {_packages_key(settings.state / "bundles" / digest) for digest in keep}
    with staging(settings) as trash:
        for bundle in _children(settings.state / "bundles"):
            if bundle.name not in keep:
                _discard(bundle, trash)
        for packages in _children(settings.state / "packages"):
            if packages.name not in used:
                _discard(packages, trash)
    longest = settings.fetch_timeout + settings.requirements_timeout + _ABANDONED_SECONDS
    for workspace in _children(settings.state / "staging"):
        with contextlib.suppress(FileNotFoundError):
            if _is_abandoned(workspace, longest):
                _remove(workspace)


def _is_abandoned(workspace: Path, longest: float) -> bool:
    """Tell whether the process that made a workspace has ended; where locks do not work, by its age alone."""
    age = time.time() - workspace.stat().st_mtime
    descriptor = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > longest
    else:
        return age > _UNLOCKED_SECONDS
    finally:
        os.close(descriptor)


def _digest(tree: str, packages_key: str | None) -> str:
    return hashlib.sha256(f"{tree} {packages_key or ''}".encode()).hexdigest()


def _is_intact(bundle: Path) -> bool:
    """Tell whether a stored bundle still holds what its name says; its own plugin may have written into it."""
    try:
        return _digest(tree_digest(bundle / "files"), _packages_key(bundle)) == bundle.name
    except OSError:
        return False


def _packages_key(bundle: Path) -> str | None:
    try:
        return (bundle / "packages").read_text(encoding="ascii")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _publish(staged: Path, final: Path, is_intact: Callable[[Path], bool]) -> Path:
    """Rename a complete directory into its place, or accept the intact one that stands there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS):
        try:
            staged.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return final
        if is_intact(final):
            return final
        _discard(final, staged.parent)
    raise OSError(errno.EBUSY, "other processes keep replacing it", str(final))


def _discard(directory: Path, trash: Path) -> None:
    """Take a directory out of the store at once; the trash removes it later, as slowly as it may be."""
    with contextlib.suppress(FileNotFoundError):
        directory.rename(trash / f"discarded-{uuid.uuid4().hex}")


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _remove(directory: Path) -> None:
    for _ in range(_ATTEMPTS):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
