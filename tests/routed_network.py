"""Machines that are network namespaces, joined by routes alone: what is broadcast on one reaches no other."""

from __future__ import annotations

import os
import subprocess
from itertools import count
from pathlib import Path

from namespaces import Machine, run

_numbers = count()


class RoutedNetwork:
    """A router, and machines at its ends, each of which is a network of its own with one address.

    This machine is at another end, so that tests reach a server on one of them.
    """

    def __init__(self):
        self.id = f"{os.getpid() % 10000}-{next(_numbers)}"
        self.net = f"10.{150 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self.router, self.address, self.own = f"iocr{self.id}", f"{self.net}.254", f"{self.net}.253"
        self.machines: list[RoutedMachine] = []
        self.link = f"iocw{self.id}"
        run("ip", "netns", "add", self.router)
        run("ip", "netns", "exec", self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        run("ip", "-n", self.router, "link", "set", "dev", "lo", "up")
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "outside", "netns", self.router)
        self.join("outside", self.own)
        run("ip", "address", "add", f"{self.own}/32", "dev", self.link)
        run("ip", "link", "set", "dev", self.link, "up")
        run("ip", "route", "add", self.address, "dev", self.link, "src", self.own)

    def join(self, link: str, address: str) -> None:
        """Let the router's end of a link lead to one address."""
        run("ip", "-n", self.router, "address", "add", f"{self.address}/32", "dev", link)
        run("ip", "-n", self.router, "link", "set", "dev", link, "up")
        run("ip", "-n", self.router, "route", "add", address, "dev", link, "src", self.address)

    def machine(self, *, sees_others: bool = True) -> RoutedMachine:
        """Return a new machine; one that does not see the others reaches the router and nothing behind it."""
        self.machines.append(RoutedMachine(self, len(self.machines) + 1, sees_others))
        return self.machines[-1]

    def end(self) -> None:
        """Take all of it away."""
        for machine in self.machines:
            machine.end()
        run("ip", "link", "delete", self.link)
        run("ip", "netns", "delete", self.router)


class RoutedMachine(Machine):
    """A network namespace with one address and a way to the router."""

    def __init__(self, network: RoutedNetwork, number: int, sees_others: bool):
        self.name, self.address = f"iocn{network.id}-{number}", f"{network.net}.{number}"
        self.processes = []
        self.has_ended = False
        run("ip", "netns", "add", self.name)
        peer = ("peer", "name", f"end{number}", "netns", network.router)
        run("ip", "-n", self.name, "link", "add", "eth0", "type", "veth", *peer)
        network.join(f"end{number}", self.address)
        run("ip", "-n", self.name, "address", "add", f"{self.address}/32", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", self.name, "link", "set", "dev", link, "up")
        run("ip", "-n", self.name, "route", "add", network.address, "dev", "eth0")
        if sees_others:
            run("ip", "-n", self.name, "route", "add", "default", "via", network.address)
        run("ip", "route", "add", self.address, "via", network.address, "src", network.own)

    def delete_link(self) -> None:
        """Take away both ends."""
        run("ip", "-n", self.name, "link", "delete", "dev", "eth0")

    def ask(self, command: str, directory: Path, limit: float = 60, **environment: str) -> subprocess.CompletedProcess:
        """Run a shell command here, with no other EPICS settings than these; return what it printed."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("EPICS_", "IOCMNG_"))}
        return subprocess.run(
            ["ip", "netns", "exec", self.name, "sh", "-euc", command],
            env=plain | environment,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
