"""How many clients are connected to the servers of this process.

EPICS tells it of Channel Access alone, and pvxs only to C++. Both have one TCP connection for each client, and the
sockets of this process are few. The system's table of connections would have those of all processes.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

COUNTED_EVERY = 5.0
"""Seconds between two counts, each of which costs a tenth of a millisecond or two."""

_ADDRESS_BYTES = 128
"""Room for any address of a socket (struct sockaddr_storage)."""

_C = ctypes.CDLL(None)


class Connections:
    """Counts the connections at the CA and the PVA port of this process, not more often than it has to."""

    def __init__(self, ca_port: int, pva_port: int) -> None:
        self._ports = ca_port, pva_port
        self._counted_at: float | None = None
        self._counted: tuple[int, int] | None = None

    def count(self) -> tuple[int, int] | None:
        """Return how many there were a moment ago; None where that cannot be seen."""
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at >= COUNTED_EVERY:
            self._counted_at, self._counted = now, connections_at(*self._ports)
        return self._counted


def connections_at(ca_port: int, pva_port: int) -> tuple[int, int] | None:
    """Return how many connections there are at two ports of this process; None where that cannot be seen."""
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  paths would cost the most here
    except OSError:
        return None
    address = ctypes.create_string_buffer(_ADDRESS_BYTES)
    ports = [_port(_C.getsockname, one, address) for one in descriptors if _port(_C.getpeername, one, address)]
    return ports.count(ca_port), ports.count(pva_port)


def _port(ask: Callable[..., int], descriptor: int, address: ctypes.Array[ctypes.c_char]) -> int:
    """Return the port of one end of a connection; 0 where there is none.

    Asked of the C library: an object of Python's would own the descriptor, and might close it.
    """
    length = ctypes.c_uint(_ADDRESS_BYTES)
    if ask(descriptor, address, ctypes.byref(length)) != 0 or length.value < 4:
        return 0
    return int.from_bytes(address.raw[2:4], "big")  # the same place in sockaddr_in and sockaddr_in6
