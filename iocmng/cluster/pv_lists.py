"""Keeps two files for each plugin, as feeders of ChannelFinder read them.

NAME/pvlist.txt          the names of its PVs, one a line
NAME/NAME-config.yaml    where and what its IOC is
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from iocmng.core.state import Snapshot

LIST = "pvlist.txt"

SAID = ("pv_prefix", "commit", "endpoint", "built_pvs")
"""Keys of a plugin object that the files are made from."""

_log = logging.getLogger(__name__)


class PvLists:
    """Follows the Controller's snapshots, and writes the files of a plugin whenever they would say something else.

    Those of a plugin that is down stay, because it comes back with the same PVs; they go with the plugin. What other
    IOCs have written into the directory is left alone.

    Args:
        directory: Where the files are kept.
        watch: Waits for what is newer than a version; see Controller.watch.
    """

    def __init__(self, directory: Path, watch: Callable[[str, int], Awaitable[Snapshot]]) -> None:
        self._directory = directory
        self._watch = watch
        self._written: dict[str, list[Any]] = {}
        self._in_trouble = False

    async def run(self) -> None:
        """Follow for ever."""
        epoch, version = "", 0
        while True:
            snapshot = await self._watch(epoch, version)
            epoch, version = snapshot.epoch, snapshot.version
            for name, plugin in snapshot.plugins.items():
                await self._keep(name, plugin)

    async def _keep(self, name: str, plugin: Mapping[str, Any] | None) -> None:
        place, before = self._directory / name, self._written.get(name)
        try:
            if plugin is None:
                if self._written.pop(name, None) is not None:
                    await asyncio.to_thread(_remove, place, name)
            elif plugin["endpoint"] is not None and before != (said := [plugin[key] for key in SAID]):
                await asyncio.to_thread(_write, place, files_of(name, plugin))
                self._written[name] = said
        except OSError as error:
            if not self._in_trouble:
                _log.error("the list of the PVs of %s cannot be kept: %s", name, error)
            self._in_trouble = True
        else:
            self._in_trouble = False


def files_of(name: str, plugin: Mapping[str, Any]) -> dict[str, str]:
    """Return what the files of a plugin hold, by their names, given its object of the REST API."""
    endpoint = plugin["endpoint"]
    facts = {
        "iocname": name,
        "iocprefix": plugin["pv_prefix"],
        "devtype": "softioc",
        "ioc_version": plugin["commit"] or "local",
        "host": endpoint["host"],
        "ca_server_port": endpoint["ca_port"],
        "pva_server_port": endpoint["pva_port"],
        "pva": True,
    }
    names = "".join(f"{pv}\n" for pv in sorted(plugin["built_pvs"]))
    return {LIST: names, _config_file(name): yaml.safe_dump(facts, sort_keys=False)}


def _config_file(name: str) -> str:
    return f"{name}-config.yaml"


def _write(place: Path, files: Mapping[str, str]) -> None:
    """Write files at once: whoever reads one meanwhile finds the old one or the new one."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        new = place / f".{name}.new"
        try:
            new.write_text(text, encoding="utf-8")
            new.replace(place / name)
        finally:
            new.unlink(missing_ok=True)  # where the disk is full


def _remove(place: Path, name: str) -> None:
    for file in (LIST, _config_file(name)):
        (place / file).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else lies there, too
        place.rmdir()
