"""OphydDevices: the DeviceProvider of a plugin's process."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from iocmng.core.devices import CreatedDevice, DeviceSpec, DeviceTable, DeviceWish
from iocmng.errors import AuthorError
from iocmng.ophyd.connecting import connect, is_connected
from iocmng.ophyd.event_loop import EventLoopThread
from iocmng.ophyd.making import make_device, use_one_libca


def device_provider(table: DeviceTable, timeout: float) -> OphydDevices | None:
    """Return what makes the devices of the table, or None where ophyd devices are switched off.

    Args:
        table: What values.yaml describes.
        timeout: Seconds that a device may take to connect, where its author does not say.
    """
    if not table.enabled:
        return None
    use_one_libca()  # before the author's modules are imported, which may import ophyd themselves
    return OphydDevices(table, timeout)


@dataclass(slots=True)
class _Made:
    spec: DeviceSpec
    device: Any
    connected: bool = False


class OphydDevices:
    """Makes each device once, when it is first asked for.

    One whose IOC does not answer, or no longer does, is kept, and the next call waits for it again: Channel Access goes
    on searching meanwhile, and a task that asks in every cycle does not make a new one each time.
    """

    def __init__(self, table: DeviceTable, timeout: float) -> None:
        self._table = table
        self._timeout = timeout
        self._made: dict[str, _Made] = {}
        self._lock = threading.RLock()  # held while a device connects: it is made once, and by one thread
        self._loop = EventLoopThread()

    def names(self) -> list[str]:
        """Return the names of the devices of values.yaml, and of those that were made besides."""
        return list(dict.fromkeys((*self._table.devices, *self._made)))

    def get(self, name: str, timeout: float | None) -> Any | None:
        """Return a device, or None where none has this name; see DeviceProvider.get."""
        made = self._made.get(name)
        spec = made.spec if made is not None else self._table.devices.get(name)
        return None if spec is None else self._ready(spec, timeout)

    def create(self, wish: DeviceWish, timeout: float | None, keep: bool) -> Any:
        """Return a device that an author describes; see DeviceProvider.create."""
        spec = self._table.spec_for(wish)
        if keep:
            return self._ready(spec, timeout)
        made = _Made(spec, make_device(spec, self._timeout))
        self._connect(made, timeout)
        return made.device

    def created(self) -> tuple[CreatedDevice, ...]:
        """Return what has been made and kept."""
        return tuple(
            CreatedDevice(made.spec.name, made.spec.prefix, _class_name(made.device))
            for made in list(self._made.values())
        )

    def run_async(self, call: Awaitable[Any] | Callable[[], Awaitable[Any]], timeout: float | None) -> Any:
        """Await something in the devices' event loop; see DeviceProvider.run_async."""
        return self._loop.run(call, timeout)

    def _ready(self, spec: DeviceSpec, timeout: float | None) -> Any:
        with self._lock:
            made = self._made.get(spec.name)
            if made is None:
                made = self._made[spec.name] = _Made(spec, make_device(spec, self._timeout))
            elif made.spec != spec:
                raise AuthorError(f"{made.spec} was made already, from another description; give this one another name")
            self._connect(made, timeout)
            return made.device

    def _connect(self, made: _Made, timeout: float | None) -> None:
        limit = self._timeout if timeout is None else timeout
        if limit <= 0 or (made.connected and is_connected(made.device)):
            return
        connect(made.spec, made.device, limit, self._loop)
        made.connected = True


def _class_name(device: Any) -> str:
    cls: type[Any] = type(device)
    return f"{cls.__module__}.{cls.__qualname__}"
