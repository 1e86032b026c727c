"""Waits until a device is connected, and says which PVs do not answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from iocmng.core.devices import DeviceSpec
from iocmng.errors import AuthorError, IocmngError, TimedOut
from iocmng.ophyd.event_loop import EventLoopThread

NAMED_PVS = 3
"""Silent PVs that a message names; a motor has fourteen."""

ASYNC_MARGIN = 2.0
"""Seconds beyond the time-out in which an asynchronous connect() must tell of its failure."""


def connect(spec: DeviceSpec, device: Any, timeout: float, loop: EventLoopThread) -> None:
    """Wait until the device is connected; one that knows nothing of connections, such as a simulation, is.

    Raises:
        TimedOut: If its IOC does not answer.
        AuthorError: If it answers, but not as the class expects.
    """
    try:
        if is_async(device):
            _connect_async(spec, device, timeout, loop)
        elif callable(getattr(device, "wait_for_connection", None)):
            _connect_sync(spec, device, timeout)
    except IocmngError:
        raise
    except Exception as error:  # boundary: the code of whoever wrote the class
        raise AuthorError(f"{spec} cannot be connected: {type(error).__name__}: {error}") from error


def is_connected(device: Any) -> bool:
    """Tell whether a device that was connected still is; one that cannot tell, such as those of ophyd-async, is."""
    return bool(getattr(device, "connected", True))


def is_async(device: Any) -> bool:
    """Tell whether this is a device of ophyd-async, which is not imported for it."""
    core = sys.modules.get("ophyd_async.core")
    return core is not None and isinstance(device, core.Device)


def _connect_sync(spec: DeviceSpec, device: Any, timeout: float) -> None:
    began = time.monotonic()
    try:
        device.wait_for_connection(timeout=timeout)
    except TimeoutError as error:
        raise _silent(spec, time.monotonic() - began, list(_unconnected(device)) or [str(error)]) from error


def _connect_async(spec: DeviceSpec, device: Any, timeout: float, loop: EventLoopThread) -> None:
    from ophyd_async.core import NotConnectedError

    began = time.monotonic()
    try:
        loop.run(device.connect(timeout=timeout), timeout + ASYNC_MARGIN)
    except NotConnectedError as error:
        leaves = dict(_leaves(error, ""))
        silent = [str(leaf).strip() for leaf in leaves.values() if isinstance(leaf, NotConnectedError)]
        if len(silent) == len(leaves):
            raise _silent(spec, time.monotonic() - began, silent) from error
        said = "; ".join(f"{name}: {leaf}" for name, leaf in leaves.items() if not isinstance(leaf, NotConnectedError))
        raise AuthorError(f"{spec} cannot be connected: {said}") from error
    except TimeoutError as error:
        raise _silent(spec, time.monotonic() - began, [str(error)]) from error


def _leaves(error: Any, name: str) -> Iterator[tuple[str, BaseException]]:
    """Return what went wrong with each signal, by its place in the device."""
    below = getattr(error, "sub_errors", None)
    if not below:
        yield name, error
        return
    for part, inner in below.items():
        yield from _leaves(inner, f"{name}.{part}" if name else part)


def _unconnected(device: Any) -> Iterator[str]:
    signals = [walk.item for walk in device.walk_signals()] if hasattr(device, "walk_signals") else [device]
    for signal in signals:
        if not signal.connected:
            yield getattr(signal, "pvname", signal.name)


def _silent(spec: DeviceSpec, seconds: float, pvs: list[str]) -> TimedOut:
    named = ", ".join(pvs[:NAMED_PVS]) + (f" and {len(pvs) - NAMED_PVS} more" if len(pvs) > NAMED_PVS else "")
    return TimedOut(
        f"{spec} did not connect within {seconds:.1f} s: {named} {'do' if len(pvs) > 1 else 'does'} not answer; is its "
        "IOC up, and in reach of this machine?"
    )
