"""The author's way to PVs of other IOCs: `from iocmng import pv_client`.

A thin face over the PvClient port. The process that runs a plugin installs the real client; elsewhere (in an author's
unit test, say) a fake can be installed in its place.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from iocmng.core.ports.plugin import PvClient
from iocmng.errors import ServerUnavailable

_installed: list[PvClient] = []


def install(client: PvClient | None) -> None:
    """Use this client from now on; None uses none."""
    _installed[:] = [client] if client is not None else []


@contextmanager
def using(client: PvClient) -> Generator[None]:
    """Use this client in place of the installed one until the block ends; of several blocks the newest one counts."""
    _installed.append(client)
    try:
        yield
    finally:
        # Blocks may end in another order than that in which they have begun.
        newest = max((at for at, one in enumerate(_installed) if one is client), default=None)
        if newest is not None:
            del _installed[newest]


def get(pv_name: str, timeout: float = 5.0) -> Any:
    """Return the value of a PV, waiting `timeout` seconds at most.

    It is a float, an int, a str, for an enum or a binary record the number of its state, a numpy array for an array of
    numbers and a list for one of texts, over PV Access and Channel Access alike. Channel Access has no 64-bit and no
    unsigned 32-bit numbers: such values come as floats there.

    Raises:
        ServerUnavailable: If no client is installed in this process.
        TimedOut: If the PV does not answer in time.
    """
    return _client().get(pv_name, timeout)


def put(pv_name: str, value: Any, timeout: float = 5.0) -> None:
    """Write a PV and wait until its record has processed, `timeout` seconds at most.

    Raises:
        ServerUnavailable: If no client is installed in this process.
        TimedOut: If the PV does not answer in time.
    """
    _client().put(pv_name, value, timeout)


def _client() -> PvClient:
    if not _installed:
        raise ServerUnavailable(
            "pv_client works inside a running plugin; in a test, give it a client with pv_client.install(...)"
        )
    return _installed[-1]
