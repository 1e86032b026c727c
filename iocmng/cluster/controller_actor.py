"""The one place where the Controller becomes a Ray actor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from iocmng.cluster.controller import Controller
from iocmng.cluster.launcher import RayLauncher
from iocmng.core.builtin_pvs import Kind
from iocmng.core.names import site_prefix
from iocmng.core.ports import Snapshot
from iocmng.core.spec import PluginRequest
from iocmng.errors import InvalidRequest
from iocmng.loading.plugins_file import read_plugins_file
from iocmng.settings import Settings

CONTROLLER_NAME = "iocmng-controller"
NAMESPACE = "iocmng"


class ControllerActor:
    """Named, detached, restarted by Ray if it dies. Its constructor is trivial: one that raises would be for good."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started: asyncio.Task[Controller] | None = None
        self._launcher: RayLauncher | None = None

    async def start(self) -> None:
        """Start once; later calls find it done."""
        await self._controller()

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """See Controller.add."""
        return await (await self._controller()).add(request, kind, wait)

    async def remove(self, name: str, kind: Kind | None) -> int:
        """See Controller.remove."""
        return await (await self._controller()).remove(name, kind)

    async def restart(self, name: str, kind: Kind | None) -> int:
        """See Controller.restart."""
        return await (await self._controller()).restart(name, kind)

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """See Controller.set_running."""
        return await (await self._controller()).set_running(name, kind, running)

    async def run_job(self, name: str, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """See Controller.run_job."""
        return await (await self._controller()).run_job(name, parameters)

    async def logs(self, name: str, tail: int) -> list[str]:
        """See Controller.logs."""
        return await (await self._controller()).logs(name, tail)

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """See Controller.watch."""
        return await (await self._controller()).watch(epoch, after)

    async def shutdown(self) -> None:
        """Stop all plugins and the warm processes."""
        await (await self._controller()).shutdown()
        if self._launcher is not None:
            await self._launcher.close()

    async def _controller(self) -> Controller:
        if self._started is None:
            self._started = asyncio.create_task(self._start())
        return await asyncio.shield(self._started)

    async def _start(self) -> Controller:
        settings = self._settings
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
        self._launcher = RayLauncher(settings)
        self._launcher.fill()
        beamline = await asyncio.to_thread(settings.beamline)
        controller = Controller(self._launcher, site_prefix(settings.prefix, beamline))
        self._loading = asyncio.create_task(self._load(controller))
        return controller

    async def _load(self, controller: Controller) -> None:
        requests: list[PluginRequest] = []
        problems: list[str] = []
        if self._settings.plugins_config is not None:
            try:
                requests, problems = await asyncio.to_thread(read_plugins_file, self._settings.plugins_config)
            except InvalidRequest as error:
                problems = [str(error)]
        await controller.load(requests, problems)
