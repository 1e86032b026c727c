"""A client of EPICS in a pod of its own, which finds IOCs in each of the ways that the how-to page names."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from namespaces import Machine
from support import TOOLS, wait_for

# The pvget of EPICS Base has no name servers. With p4p, a PV is read as `pvxget` does.
_P4P = """
import sys
from p4p.client.thread import Context
with Context("pva") as client:
    print(float(client.get(sys.argv[1], timeout=3)))
"""


class EpicsClient:
    """What a client knows of the IOCs at one moment.

    Args:
        machine: Where it runs.
        name_servers: What GET /pvs/name-servers?inside=true has told: where IOCs are asked over TCP.
        broadcast: The address that reaches all machines, where the network has one.
        log: What the monitor has printed.
    """

    def __init__(self, machine: Machine, name_servers: dict[str, str], broadcast: str, log: Path) -> None:
        self._machine, self._log = machine, log
        quiet = {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
        self.by_name_servers = quiet | {
            **{name: name_servers[name] for name in ("EPICS_CA_NAME_SERVERS", "EPICS_PVA_NAME_SERVERS")},
            "EPICS_CA_ADDR_LIST": "",
            "EPICS_PVA_ADDR_LIST": "",
        }
        self.by_broadcast = quiet | {"EPICS_CA_ADDR_LIST": broadcast, "EPICS_PVA_ADDR_LIST": broadcast}

    def caget(self, pv: str) -> float | None:
        """Return a number over Channel Access, or None where the PV does not answer."""
        return _number(self._run(self.by_name_servers, TOOLS / "caget", "-t", "-n", "-w", "3", pv))

    def values(self, pv: str) -> list[float | None]:
        """Return a number as both protocols give it, first by name servers and then by broadcast."""
        base = (self.by_broadcast, TOOLS / "caget", "-t", "-n", "-w", "3", pv)
        return [
            self.caget(pv),
            _number(self._run(self.by_name_servers, sys.executable, "-c", _P4P, pv)),
            _number(self._run(*base)),
            _number(self._run(self.by_broadcast, TOOLS / "pvget", "-w", "3", pv)),
        ]

    def caput(self, pv: str, value: object) -> None:
        """Write a PV over Channel Access."""
        self._run(self.by_name_servers, TOOLS / "caput", "-w", "3", pv, str(value))

    @contextmanager
    def monitored(self, pv: str) -> Iterator[Callable[[], list[int]]]:
        """Follow a PV that counts over one connection; what comes out returns all values so far."""
        with self._log.open("wb") as file:
            command = self._command(TOOLS / "camonitor", "-w", "10", "-t", "n", pv)
            process = subprocess.Popen(command, env=os.environ | self.by_name_servers, stdout=file, stderr=file)

        def values() -> list[int]:
            lines = self._log.read_text(encoding="utf-8").splitlines()
            words = [line.split()[-1] for line in lines if line.startswith(f"{pv} ")]
            assert all(word.isdecimal() for word in words), f"the connection was lost: {lines}"
            return [int(word) for word in words]

        try:
            wait_for(values, f"{pv} is monitored")
            yield values
        finally:
            process.kill()
            process.wait()

    def _command(self, *words: str | Path) -> list[str]:
        return ["ip", "netns", "exec", self._machine.name, *map(str, words)]

    def _run(self, variables: dict[str, str], *words: str | Path) -> str:
        environment = os.environ | variables
        command = self._command(*words)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout


def _number(printed: str) -> float | None:
    with contextlib.suppress(IndexError, ValueError):
        return float(printed.split()[-1])
    return None
