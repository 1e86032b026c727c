"""docs/reference/listening.md: its tables, and what a server listens on besides."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docs_blocks import ROOT
from listening import Listening, listening_sockets
from support import Server

PAGE = ROOT / "docs/reference/listening.md"


@dataclass(frozen=True)
class Row:
    """A line of the page's table: which process may listen at which ports, and for whom."""

    process: str
    protocol: str
    ports: frozenset[int]
    is_loopback: bool

    def allows(self, one: Listening) -> bool:
        """Tell whether a socket is what this line tells of; no port means any."""
        return (
            self.protocol == one.protocol
            and one.process.startswith(self.process)
            and (not self.ports or one.port in self.ports)
            and (one.is_loopback or not self.is_loopback)
        )


def documented(server_port: int) -> list[Row]:
    """Return the lines of the page's tables."""
    rows = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        process, protocol, port, interface, *_ = [cell.strip() for cell in line.strip("|").split("|")]
        assert interface in ("127.0.0.1", "all"), line
        assert protocol in ("TCP", "UDP"), line
        ports = {int(number) for number in re.findall(r"\b\d{4,5}\b", port)}
        ports |= {server_port} if "IOCMNG_PORT" in port else set()
        assert ports or port == "free", line
        rows.append(Row(process.strip("`"), protocol, frozenset(ports), interface == "127.0.0.1"))
    return rows


def undocumented(server: Server) -> list[Listening]:
    """Return the sockets of a server and of all that it has started which the page does not tell of."""
    rows = documented(server.port)
    found = listening_sockets({server.process.pid, *server.descendants()})
    assert len(found) > 15  # else they were not found at all
    return [one for one in found if not any(row.allows(one) for row in rows)]
