"""A git repository below a local root must not lead to what lies elsewhere.

git follows a `.git` that is a file, `commondir`, alternates and symbolic links wherever they lead, with the rights of
the server's user.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from iocmng.core.source import refused
from iocmng.loading.places import is_below_roots
from iocmng.settings import Settings

_READ = ("objects", "refs")
"""Directories of a repository that git reads as a whole; of the rest it reads files at its top."""

_MOST_BYTES = 64 * 1024
"""Of a file that names other places; git makes none that large."""


def find_repository(directory: Path) -> Path | None:
    """Return the nearest directory, from this one upwards, that holds a repository."""
    return next((place for place in (directory, *directory.parents) if os.path.lexists(place / ".git")), None)


def is_repository(directory: Path) -> bool:
    """Tell whether a directory is a repository, bare or with files; git else also tries DIRECTORY.git beside it."""
    return os.path.lexists(directory / ".git") or (directory / "objects").is_dir()


def check_repository(directory: Path, settings: Settings) -> None:
    """Check that everything git reads for the repository of a directory lies below the local roots.

    Raises:
        PluginRejected: If something lies elsewhere; nothing is said about what is there.
    """
    for guide, place in _Repository(directory).places():
        if not is_below_roots(place, settings):
            roots = ", ".join(map(str, settings.roots)) or "none"
            raise refused(
                f"the repository in {directory} leads out of the directories that this server takes plugins from "
                f"({roots}): see {guide}. Put a clone of its own there (`git clone --no-local`), or name the directory "
                "that it leads to in IOCMNG_LOCAL_ROOTS"
            )


class _Repository:
    """Follows a repository as git does. Whoever asks for places judges each before the next is looked at."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: set[Path] = set()

    def places(self) -> Iterator[tuple[Path, Path]]:
        """Yield what leads on, and where it leads."""
        guide = self._directory / ".git"
        if os.path.lexists(guide):
            place = guide.resolve()
            yield guide, place
            if place.is_file():
                place = _named(place, _text(place).removeprefix("gitdir:"), self._directory)
                yield guide, place
            yield from self._git_directory(place)
        if (self._directory / "HEAD").exists() and (self._directory / "objects").is_dir():
            yield from self._git_directory(self._directory)

    def _git_directory(self, directory: Path) -> Iterator[tuple[Path, Path]]:
        guide = directory / "commondir"
        if guide.is_file():
            yield guide, guide.resolve()
            common = _named(guide, _text(guide), directory)
            yield guide, common
            yield from self._content(common)
        yield from self._content(directory)

    def _content(self, directory: Path) -> Iterator[tuple[Path, Path]]:
        for entry in _entries(directory):
            if entry.is_symlink() and (entry.name in _READ or not entry.is_dir()):
                yield Path(entry.path), Path(entry.path).resolve()
        for name in _READ:
            if (directory / name).is_dir():
                yield from self._tree((directory / name).resolve())
        yield from self._alternates((directory / "objects").resolve())

    def _tree(self, directory: Path) -> Iterator[tuple[Path, Path]]:
        if directory in self._seen:
            return
        self._seen.add(directory)
        for entry in _entries(directory):
            if entry.is_symlink():
                place = Path(entry.path).resolve()
                yield Path(entry.path), place
                if place.is_dir():
                    yield from self._tree(place)
            elif entry.is_dir(follow_symlinks=False):
                yield from self._tree(Path(entry.path))

    def _alternates(self, objects: Path) -> Iterator[tuple[Path, Path]]:
        guide = objects / "info" / "alternates"
        if not guide.is_file():
            return
        for line in _text(guide).splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            # git writes a path in quotes where it holds unusual characters. Such a one is nowhere, hence refused.
            place = Path("/") if line.startswith('"') else _named(guide, line, objects)
            yield guide, place
            if place not in self._seen:
                yield from self._tree(place)
                yield from self._alternates(place)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []  # git cannot read it either


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return os.fsdecode(stream.read(_MOST_BYTES))
    except OSError:
        return ""


def _named(guide: Path, text: str, directory: Path) -> Path:
    """Return the real path that a file of git's names, relative to a directory."""
    try:
        return (directory / text.strip()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise refused(f"{guide} names no place: {error}") from error
