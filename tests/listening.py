"""Which sockets of some processes can be reached, read from /proc: TCP that listens, UDP that is bound."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"
"""State of a TCP socket that listens, in /proc/net/tcp (proc_net_tcp(5))."""

UNCONNECTED = "07"
"""State of a UDP socket that takes datagrams of everyone."""


@dataclass(frozen=True, slots=True, order=True)
class Listening:
    """A socket that takes what others send.

    Attributes:
        protocol: `TCP` or `UDP`.
        address: Interface, as an address; 0.0.0.0 and :: are all of them.
        port: Port.
        pid: A process that has it open.
        process: What that process is: `ray::` and the actor's class, the name of a script, or that of a program.
    """

    protocol: str
    address: str
    port: int
    pid: int
    process: str

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback


def listening_sockets(pids: Iterable[int]) -> list[Listening]:
    """Return the sockets of these processes that take what others send."""
    owners = {inode: pid for pid in pids for inode in _inodes(pid)}
    found = [
        Listening(protocol, address, port, owners[inode], _process(owners[inode]))
        for protocol, address, port, inode in _bound()
        if inode in owners
    ]
    return sorted(found)


def _bound() -> Iterator[tuple[str, str, int, str]]:
    for name, protocol, state in (("tcp", "TCP", LISTEN), ("udp", "UDP", UNCONNECTED)):
        for family, table in ((socket.AF_INET, name), (socket.AF_INET6, f"{name}6")):
            with contextlib.suppress(FileNotFoundError):
                for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == state:
                        address, _, port = fields[1].partition(":")
                        yield protocol, _address(family, address), int(port, 16), fields[9]


def _address(family: socket.AddressFamily, text: str) -> str:
    words = [struct.pack("=I", int(text[start : start + 8], 16)) for start in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))


def _inodes(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    yield target[8:-1]


def _process(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        if words[0].startswith("ray::"):
            return "ray::" + re.split(r"[.:( ]", words[0].removeprefix("ray::"))[0]
        if "-m" in words:
            return words[words.index("-m") + 1]
        scripts = [word for word in words[1:] if word.endswith(".py")]
        return Path(scripts[0] if scripts and "python" in words[0] else words[0]).name
    return ""
