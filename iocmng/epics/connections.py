"""How many clients are connected to the servers of this process.

EPICS tells it of Channel Access alone, and pvxs only to C++. Both have one TCP connection for each client, and the
sockets of this process are few. The system's table of connections would have those of all processes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

_ADDRESS_BYTES = 128
"""Room for any address of a socket (struct sockaddr_storage)."""

_C = ctypes.CDLL(None)


def connections_at(ca_port: int, pva_port: int) -> tuple[int, int] | None:
    """Return how many connections there are at two ports of this process; None where that cannot be seen."""
    try:
        descriptors = [int(one.name) for one in Path("/proc/self/fd").iterdir()]
    except OSError:
        return None
    ports = [_port(_C.getsockname, one) for one in descriptors if _port(_C.getpeername, one)]
    return ports.count(ca_port), ports.count(pva_port)


def _port(ask: Callable[..., int], descriptor: int) -> int:
    """Return the port of one end of a connection; 0 where there is none.

    Asked of the C library: an object of Python's would own the descriptor, and might close it.
    """
    address, length = ctypes.create_string_buffer(_ADDRESS_BYTES), ctypes.c_uint(_ADDRESS_BYTES)
    if ask(descriptor, address, ctypes.byref(length)) != 0 or length.value < 4:
        return 0
    return int.from_bytes(address.raw[2:4], "big")  # the same place in sockaddr_in and sockaddr_in6
