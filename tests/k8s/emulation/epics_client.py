"""A client of EPICS in a pod of its own: EPICS Base's programs, which reach IOCs where no broadcast arrives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from namespaces import Machine
from support import TOOLS, wait_for


class EpicsClient:
    """What a client knows of the IOCs at one moment.

    Args:
        machine: Where it runs.
        pvs: What GET /pvs has listed: by its ports, Channel Access is asked over TCP.
        addresses: The addresses of the workers: PV Access takes one search for all IOCs of an address.
        log: What the monitor has printed.
    """

    def __init__(self, machine: Machine, pvs: list[dict[str, Any]], addresses: list[str], log: Path) -> None:
        self._machine, self._log = machine, log
        self.environment = {
            "EPICS_CA_NAME_SERVERS": " ".join(sorted({f"{pv['host']}:{pv['ca_port']}" for pv in pvs})),
            "EPICS_CA_ADDR_LIST": "",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_ADDR_LIST": " ".join(sorted(addresses)),
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        }

    def caget(self, pv: str) -> float | None:
        """Return a number over Channel Access, or None where the PV does not answer."""
        return _number(self._run("caget", "-t", "-n", "-w", "3", pv))

    def pvget(self, pv: str) -> float | None:
        """Return a number over PV Access, or None where the PV does not answer."""
        return _number(self._run("pvget", "-w", "3", pv))

    def caput(self, pv: str, value: object) -> None:
        """Write a PV over Channel Access."""
        self._run("caput", "-w", "3", pv, str(value))

    @contextmanager
    def monitored(self, pv: str) -> Iterator[Callable[[], list[int]]]:
        """Follow a PV that counts over one connection; what comes out returns all values so far."""
        with self._log.open("wb") as file:
            command = self._command("camonitor", "-t", "n", pv)
            process = subprocess.Popen(command, env=os.environ | self.environment, stdout=file, stderr=file)

        def values() -> list[int]:
            lines = self._log.read_text(encoding="utf-8").splitlines()
            # A line that tells of a lost connection has no number, and so is seen as well.
            return [int(line.split()[-1]) for line in lines if line.startswith(f"{pv} ")]

        try:
            wait_for(values, f"{pv} is monitored")
            yield values
        finally:
            process.kill()
            process.wait()

    def _command(self, program: str, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self._machine.name, str(TOOLS / program), *arguments]

    def _run(self, program: str, *arguments: str) -> str:
        environment = os.environ | self.environment
        command = self._command(program, *arguments)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout


def _number(printed: str) -> float | None:
    words = printed.split()
    return float(words[-1]) if words else None
