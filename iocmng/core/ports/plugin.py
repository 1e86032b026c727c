"""What a plugin's process needs around the plugin: time, PVs, devices, and places for the items of a map()."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iocmng.core.client_puts import ClientPut
from iocmng.core.devices import CreatedDevice, DeviceWish
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.core.pvs import DeclaredPv
from iocmng.core.spec import RecordInfo
from iocmng.errors import ItemFailed


class Clock(Protocol):
    """Time, so that tests can turn it."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class PvServer(Protocol):
    """Serves a plugin's PVs to EPICS clients."""

    def build(
        self, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> tuple[RecordInfo, ...]:
        """Make the records. `on_write` is told of each put by a client, in a thread that it must not hold up."""
        ...

    def run(self) -> tuple[int, int]:
        """Begin to answer clients; return the CA and the PVA port."""
        ...

    def get(self, name: str) -> PvValue:
        """Return the value of a PV, named without its prefix."""
        ...

    def put(self, name: str, value: Any, severity: Severity | None = None) -> None:
        """Set the value of a PV and, if given, its alarm severity."""
        ...


class ClientPuts(Protocol):
    """Tells who has written what to a plugin's PVs, and how many clients there are."""

    def listen(self, told: Callable[[ClientPut], None]) -> None:
        """Have each put of a client told once it is done, in a thread that must not be held up; before the build."""
        ...

    @property
    def writer(self) -> str:
        """Who makes the put that `on_write` is being told of, as user@host; empty where nobody knows."""
        ...

    def clients(self) -> tuple[int, int] | None:
        """Return how many clients are connected by Channel Access and by PV Access; None where that is not known."""
        ...


class PvClient(Protocol):
    """Reads and writes PVs of other IOCs."""

    def get(self, pv_name: str, timeout: float) -> Any:
        """Return the value of a PV."""
        ...

    def put(self, pv_name: str, value: Any, timeout: float) -> None:
        """Write a PV and wait until it is done."""
        ...


class DeviceProvider(Protocol):
    """Makes ophyd devices in a plugin's process. Thread-safe; blocks until a device is connected."""

    def names(self) -> list[str]:
        """Return the names of the devices that values.yaml describes, and of those that were made besides."""
        ...

    def get(self, name: str, timeout: float | None) -> Any | None:
        """Return a device, made at the first call, or None where none has this name.

        Args:
            name: Its name.
            timeout: Seconds that it may take to connect; 0 does not wait, None takes the site's time.

        Raises:
            TimedOut: If its IOC does not answer.
            AuthorError: If it cannot be made.
        """
        ...

    def create(self, wish: DeviceWish, timeout: float | None, keep: bool) -> Any:
        """Return a device that an author describes; the one that was made before, if `keep`.

        Raises:
            TimedOut: If its IOC does not answer.
            AuthorError: If it cannot be made.
        """
        ...

    def created(self) -> tuple[CreatedDevice, ...]:
        """Return what has been made and kept."""
        ...

    def run_async(self, call: Awaitable[Any] | Callable[[], Awaitable[Any]], timeout: float | None) -> Any:
        """Await something in the event loop of the asynchronous devices; return what it returns.

        Raises:
            TimedOut: If it takes longer; it is cancelled then.
        """
        ...


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of one item of a map().

    Attributes:
        index: Place of the item among all, from 0.
        value: What the function returned.
        failure: Why there is no value.
        log: What was logged meanwhile, as (level, text).
    """

    index: int
    value: Any = None
    failure: ItemFailed | None = None
    log: tuple[tuple[int, str], ...] = ()


class Mapper(Protocol):
    """Runs a function of a plugin's code for many items, wherever there is room for it."""

    def outcomes(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        max_parallel: int | None,
        logger: logging.Logger,
    ) -> Generator[ItemOutcome | None]:
        """Yield what becomes of each item, in the order in which they finish; None where none has for a moment.

        Items are taken from `items` only when there is a place for them. Closing the generator ends all that is still
        under way, at once.

        Args:
            function: Called with each item, once.
            items: They may be without end.
            max_parallel: How many to run at the same time at most; None leaves it to the number of CPUs.
            logger: The plugin's own, told where something has to be waited for.

        Raises:
            AuthorError: If the function cannot be run at all.
        """
        ...
