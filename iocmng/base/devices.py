"""A plugin's ophyd devices, as its base class sees them: made by a DeviceProvider, shown on the board."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from iocmng.base.board import StatusBoard
from iocmng.core.devices import DeviceWish
from iocmng.core.ports.plugin import DeviceProvider
from iocmng.errors import AuthorError


class PluginDevices:
    """Devices of one plugin.

    Args:
        provider: What makes them; None where ophyd devices are switched off.
        board: Where those that were made are shown.
        logger: The plugin's own; told once of each name that there is not.
    """

    def __init__(
        self,
        provider: DeviceProvider | None = None,
        board: StatusBoard | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self._provider = provider
        self._board = board
        self._logger = logger
        self._missed: set[str] = set()

    def names(self) -> list[str]:
        """Return the names of all devices."""
        return self._provider.names() if self._provider is not None else []

    def get(self, name: str, timeout: float | None) -> Any | None:
        """Return a device, or None where none has this name; see PluginBase.get_device."""
        if self._provider is None:
            return None
        try:
            device = self._provider.get(name, timeout)
        finally:
            self._show()
        if device is None:
            self._miss(name)
        return device

    def create(self, wish: DeviceWish, timeout: float | None, keep: bool) -> Any:
        """Return a device that the author describes; see PluginBase.create_device."""
        provider = self._needed(f"cannot make device {wish.name or wish.prefix!r}")
        try:
            return provider.create(wish, timeout, keep)
        finally:
            self._show()

    def run_async(self, call: Awaitable[Any] | Callable[[], Awaitable[Any]], timeout: float | None) -> Any:
        """Await something in the devices' event loop; see PluginBase.run_async."""
        return self._needed("there is no event loop for devices").run_async(call, timeout)

    def _needed(self, what: str) -> DeviceProvider:
        if self._provider is None:
            raise AuthorError(
                f"{what}: ophyd devices are switched off. Start the server, or iocmng run, with "
                "IOCMNG_DISABLE_OPHYD=false and with the extra installed: pip install iocmng[ophyd]"
            )
        return self._provider

    def _show(self) -> None:
        if self._provider is not None and self._board is not None:
            self._board.show_devices(self._provider.created())

    def _miss(self, name: str) -> None:
        if self._logger is None or name in self._missed:
            return
        self._missed.add(name)
        names = self.names()
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {len(names)}; list_devices() names them"
        self._logger.warning("get_device(%r) is None: no device has this name; %s", name, hint)
