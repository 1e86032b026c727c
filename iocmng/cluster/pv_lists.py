"""Keeps a file with the names of its PVs for each plugin, as feeders of ChannelFinder read it: NAME/pvlist.txt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from iocmng.core.state import Snapshot

FILE_NAME = "pvlist.txt"

_log = logging.getLogger(__name__)


class PvLists:
    """Follows the Controller's snapshots, and writes a list whenever a plugin serves other PVs than before.

    Of a plugin that is down the list stays, because it comes back with the same PVs; it goes with the plugin. Files
    that other IOCs have written into the directory are left alone.

    Args:
        directory: Where the lists are kept.
        watch: Waits for what is newer than a version; see Controller.watch.
    """

    def __init__(self, directory: Path, watch: Callable[[str, int], Awaitable[Snapshot]]) -> None:
        self._directory = directory
        self._watch = watch
        self._written: dict[str, list[str]] = {}
        self._in_trouble = False

    async def run(self) -> None:
        """Follow for ever."""
        epoch, version = "", 0
        while True:
            snapshot = await self._watch(epoch, version)
            epoch, version = snapshot.epoch, snapshot.version
            for name, plugin in snapshot.plugins.items():
                names = None if plugin is None else sorted(plugin["built_pvs"])
                await self._keep(name, names)

    async def _keep(self, name: str, names: list[str] | None) -> None:
        try:
            if names is None:
                if self._written.pop(name, None) is not None:
                    await asyncio.to_thread(_remove, self._directory / name / FILE_NAME)
            elif names and self._written.get(name) != names:
                await asyncio.to_thread(_write, self._directory / name / FILE_NAME, names)
                self._written[name] = names
        except OSError as error:
            if not self._in_trouble:
                _log.error("the list of the PVs of %s cannot be kept: %s", name, error)
            self._in_trouble = True
        else:
            self._in_trouble = False


def _write(file: Path, names: Iterable[str]) -> None:
    """Write a list at once: whoever reads it meanwhile finds the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    new.replace(file)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else lies there, too
        file.parent.rmdir()
