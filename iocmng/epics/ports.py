"""The TCP ports of an IOC, where a site wants them in a range."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from iocmng.core.port_range import PortPair, PortRange
from iocmng.errors import NoPorts

CA_SEARCH_PORT = 5064

_VARIABLES = ("EPICS_CAS_SERVER_PORT", "EPICS_PVAS_SERVER_PORT")


class ClaimedPorts:
    """Two ports that no other IOC of this machine takes as long as this process lives.

    Between the choice and the moment in which EPICS listens, another process must not choose the same. So each port
    has a name in Linux's abstract namespace for sockets: it belongs to one process, lies in no directory, ends with the
    process however that ends, and counts for this network namespace only, as ports do.

    Args:
        ports: The range of the site.
        name: The PV prefix of the IOC.
        memory: File in which the choice is kept for the next time; None keeps none.

    Attributes:
        pair: The CA and the PVA port.

    Raises:
        NoPorts: If no two are free.
    """

    def __init__(self, ports: PortRange, name: str, memory: Path | None = None) -> None:
        self._held: list[socket.socket] = []
        self._memory = memory
        for pair in ports.candidates(name, _remembered(memory)):
            if self._take(pair):
                self.pair: PortPair = pair
                return
        raise NoPorts(
            f"no two ports of IOCMNG_EPICS_PORTS={ports} are free for {name} on "
            f"{socket.gethostname()}: there is room for {ports.pairs} IOCs, and a plugin that is replaced needs it "
            "twice for a moment; remove a plugin, or widen the range and restart the server"
        )

    def release(self) -> None:
        """Let others take them; for an IOC that did not come to be."""
        while self._held:
            self._held.pop().close()

    def remember(self) -> None:
        """Keep the choice; where it cannot be kept, the next one begins from the name, which is nearly as good."""
        if self._memory is not None and _remembered(self._memory) != self.pair:
            with contextlib.suppress(OSError):
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                self._memory.write_text("{} {}\n".format(*self.pair), encoding="ascii")

    def _take(self, pair: PortPair) -> bool:
        for port in pair:
            holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._held.append(holder)
            try:
                holder.bind(f"\0iocmng-epics-port-{port}")
            except OSError:
                break
            if not is_free(port):
                break
        else:
            return True
        self.release()
        return False

    @contextlib.contextmanager
    def for_epics(self) -> Iterator[None]:
        """Have the CA and the PVA server of this process listen on them, and be searched for where all IOCs are.

        The IOC is built inside.
        """
        before = {name: os.environ.get(name) for name in _VARIABLES}
        search_port = _search_port()
        os.environ.update(zip(_VARIABLES, map(str, self.pair), strict=True))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
        try:
            move_ca_search(self.pair[0], search_port)
        except OSError as error:
            raise NoPorts(
                f"the CA server cannot answer searches on UDP port {search_port}: {error.strerror}; see which program "
                "has it, or let EPICS choose all ports (IOCMNG_EPICS_PORTS unset)"
            ) from error


def is_free(port: int) -> bool:
    """Tell whether an IOC could listen on a TCP port of this machine."""
    with socket.socket() as probe:
        # As EPICS does; a socket that listens is in the way all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def move_ca_search(ca_port: int, search_port: int) -> None:
    """Have the CA server answer searches on the UDP port that clients ask, and not on that of its TCP port's number.

    EPICS knows one number for both (EPICS_CAS_SERVER_PORT), and with one of its own an IOC would not be found by
    broadcasts. So between iocBuild and iocRun, while the server ignores what comes in, each of its search sockets gets
    another one in its place that is bound to the same address and the search port.
    """
    for number in _udp_sockets(ca_port) if ca_port != search_port else ():
        with socket.socket(fileno=os.dup(number)) as old:
            _put_in_place(old, number, old.getsockname()[0], search_port)
            # Ends the server's waiting on the old socket, which nothing else holds any longer. That it tells of an
            # error, because the socket is not connected, changes nothing of it (Linux, inet_shutdown).
            with contextlib.suppress(OSError):
                old.shutdown(socket.SHUT_RD)


def _search_port() -> int:
    """Return the UDP port on which an IOC would answer searches if it were not for the range."""
    text = os.environ.get("EPICS_CAS_SERVER_PORT") or os.environ.get("EPICS_CA_SERVER_PORT") or ""
    return int(text) if text.isdecimal() else CA_SEARCH_PORT


def _put_in_place(old: socket.socket, number: int, address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as new:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST):
            new.setsockopt(socket.SOL_SOCKET, option, old.getsockopt(socket.SOL_SOCKET, option))
        new.bind((address, port))
        for group in _multicast_groups():
            with contextlib.suppress(OSError):  # a socket that is bound to a broadcast address is in none
                membership = socket.inet_aton(group) + socket.inet_aton(address)
                new.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        os.dup2(new.fileno(), number, inheritable=False)


def _udp_sockets(port: int) -> list[int]:
    return [number for number in (int(link.name) for link in Path("/proc/self/fd").iterdir()) if _is_udp(number, port)]


def _is_udp(number: int, port: int) -> bool:
    """Tell whether a file descriptor of this process is a UDP socket on a port."""
    try:
        one = socket.socket(fileno=number)
    except OSError:
        return False
    try:
        return (one.family, one.type) == (socket.AF_INET, socket.SOCK_DGRAM) and one.getsockname()[1] == port
    except OSError:
        return False
    finally:
        one.detach()  # it is somebody else's


def _multicast_groups() -> list[str]:
    addresses = (word.partition(":")[0] for word in os.environ.get("EPICS_CAS_INTF_ADDR_LIST", "").split())
    return [address for address in addresses if address.partition(".")[0] in map(str, range(224, 240))]


def _remembered(memory: Path | None) -> PortPair | None:
    if memory is not None:
        with contextlib.suppress(OSError, ValueError):
            ca, pva = map(int, memory.read_text(encoding="ascii").split())
            return ca, pva
    return None
