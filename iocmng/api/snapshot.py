"""Follows the Controller's snapshot by long poll, so that reads never call the Controller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from iocmng.api.table import PluginObjects, PluginTable
from iocmng.core.backoff import Backoff
from iocmng.core.devices import DeviceTable
from iocmng.core.ports.controller import ControllerClient
from iocmng.core.state import Snapshot
from iocmng.errors import IocmngError, ServerUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FollowTimes:
    """How long the follower waits for what.

    Attributes:
        first_snapshot: Seconds that the start of the API waits for the first snapshot; it goes on without one.
        settle: Seconds that a changing call waits until this replica has seen its change.
        backoff: Waits between tries while the Controller cannot be reached.
    """

    first_snapshot: float = 5.0
    settle: float = 10.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, factor=2.0, limit=5.0))


class SnapshotFollower:
    """Keeps this replica's copy of the plugins.

    One task holds a long poll open. When it fails, the last known state stays and the task tries again with back-off;
    the Controller then answers with changes, or with everything if it has begun a new life (another epoch).

    Attributes:
        table: The plugins.
        devices: The beamline's devices.
        epoch: The Controller's life that the copy belongs to.
        version: The copy's version in that life.
        has_snapshot: Whether the Controller has answered at least once.
        ready: Whether the Controller, when it last answered, had loaded the plugins file.

    `listener` is told of each snapshot after it has been taken.
    """

    def __init__(
        self,
        client: ControllerClient,
        times: FollowTimes | None = None,
        *,
        listener: Callable[[Snapshot], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.table = PluginTable()
        self.devices = DeviceTable()
        self.epoch = ""
        self.version = 0
        self.has_snapshot = False
        self.ready = False
        self._client = client
        self._times = times or FollowTimes()
        self._listener = listener
        self._sleep = sleep
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def plugins(self) -> PluginObjects:
        """The plugin objects by name; to be read only."""
        return self.table.plugins

    async def start(self) -> None:
        """Begin to follow; return with the first snapshot, or without it when it takes too long."""
        self._task = asyncio.create_task(self._follow(), name="iocmng-snapshot-follower")
        if not await self._wait_until(lambda: self.has_snapshot, self._times.first_snapshot):
            logger.warning("no answer from the Controller yet; reads are refused until it comes")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def wait_for(self, version: int) -> bool:
        """Wait until this replica has seen a version; return False if that takes too long.

        A Controller that begins a new life meanwhile ends the wait: its first snapshot holds everything that an
        earlier life had promised, and its versions do not compare.
        """
        epoch = self.epoch
        return await self._wait_until(
            lambda: self.version >= version or self.epoch != epoch,
            self._times.settle,
        )

    async def _wait_until(self, seen: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not seen():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                snapshot = await self._client.watch(self.epoch, self.version)
                self._take(snapshot)
                if self._listener is not None:
                    await self._listener(snapshot)
            except Exception as error:  # noqa: BLE001 - whatever it is, the replica must go on serving and trying
                failures += 1
                self._report(error, failures)
                await self._sleep(self._times.backoff.delay(failures))
            else:
                if failures:
                    logger.info("the Controller answers again after %d failed tries", failures)
                failures = 0

    def _take(self, snapshot: Snapshot) -> None:
        if snapshot.complete:
            self.table.replace(snapshot.plugins)
            self.devices = snapshot.devices or DeviceTable()
        elif snapshot.epoch == self.epoch:
            self.table.update(snapshot.plugins)
        else:
            # Changes to something that this replica never saw: ask for everything.
            self.epoch, self.version = "", 0
            raise ServerUnavailable("the Controller sent changes that belong to another of its lives")
        self.epoch, self.version, self.ready = snapshot.epoch, snapshot.version, snapshot.ready
        self.has_snapshot = True
        self._changed.set()
        self._changed = asyncio.Event()

    def _report(self, error: Exception, failures: int) -> None:
        """Log the first failure of a row; the others say nothing new."""
        if failures > 1:
            return
        expected = isinstance(error, IocmngError)
        logger.warning(
            "lost the Controller (%s); showing the last known state and trying again",
            error,
            exc_info=None if expected else error,
        )
