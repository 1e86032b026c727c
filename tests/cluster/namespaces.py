"""Machines that are network namespaces: joined by a bridge, cut off by taking their link down."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
from faults import lives
from support import LOOPBACK, TOOLS, Server, free_port, wait_for


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)


def missing():
    """Return why network namespaces cannot be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip` (package iproute2)"
    name = f"iocprobe{os.getpid() % 10000}"
    try:
        run("ip", "netns", "add", name)
        try:
            run("ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two")
            run("ip", "-n", name, "link", "add", "bridge", "type", "bridge")
        finally:
            run("ip", "netns", "delete", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made (CAP_NET_ADMIN, CAP_SYS_ADMIN): {error.stderr.strip()}"
    return None


class Network:
    """A bridge of this machine, and machines on it."""

    def __init__(self):
        self.id = os.getpid() % 10000
        self.bridge = f"iocb{self.id}"
        self.net = f"10.{200 + self.id % 50}.{self.id // 50 % 250}"
        self.machines = []
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "address", "add", f"{self.net}.254/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")

    def machine(self):
        self.machines.append(Machine(self, len(self.machines) + 1))
        return self.machines[-1]

    def end(self):
        for machine in self.machines:
            machine.end()
        run("ip", "link", "delete", self.bridge)


class Machine:
    """A network namespace with one link to the bridge."""

    def __init__(self, network, number):
        self.name = f"ioc{network.id}-{number}"
        self.address, self.gateway = f"{network.net}.{number}", f"{network.net}.254"
        self.link = f"iocv{network.id}-{number}"
        self.processes = []
        self.has_ended = False
        run("ip", "netns", "add", self.name)
        self.inode = Path("/run/netns", self.name).stat().st_ino
        peer = ("peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "add", self.link, "type", "veth", *peer)
        run("ip", "link", "set", self.link, "master", network.bridge, "up")
        run("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def cut(self):
        """Take the link down, and return the moment."""
        run("ip", "link", "set", self.link, "down")
        return time.monotonic()

    def join(self):
        run("ip", "link", "set", self.link, "up")

    def start(self, command, log, mounts="", **options):
        """Start a shell command in the namespace, which has mounts of its own, too."""
        inner = ["ip", "netns", "exec", self.name, "sh", "-c", f"{mounts} exec {command}"]
        with log.open("ab") as file:
            self.processes.append(subprocess.Popen(inner, stdout=file, stderr=file, **options))
        return self.processes[-1]

    def pids(self, words=b""):
        """Return the ids of the namespace's processes whose command line holds these words."""
        found = []
        for pid in map(int, run("ip", "netns", "pids", self.name).stdout.split()):
            with contextlib.suppress(OSError):
                if words in Path(f"/proc/{pid}/cmdline").read_bytes() and lives(pid):
                    found.append(pid)
        return found

    def serves(self, pv):
        """Tell whether a client on this machine gets the PV's value from an IOC on this machine."""
        command = ["ip", "netns", "exec", self.name, TOOLS / "caget", "-t", "-w", "0.3", pv]
        done = subprocess.run(command, env=os.environ | LOOPBACK, capture_output=True, timeout=10, check=False)
        return done.returncode == 0

    def end(self):
        if self.has_ended:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not self.pids(), "its processes are gone", 5)
        for process in self.processes:
            process.wait(5)
        # The link would go with the namespace, but that stays as long as the kernel has work to do for it.
        self.delete_link()
        run("ip", "netns", "delete", self.name)
        self.has_ended = True

    def delete_link(self):
        run("ip", "link", "delete", self.link)


class Watch(threading.Thread):
    """Asks for a PV on one machine all the time; remembers the moments at which it was and was not served."""

    def __init__(self, machine, pv):
        super().__init__(daemon=True)
        self.machine, self.pv = machine, pv
        self.served, self.missed = [], []
        self._ended = threading.Event()
        self.start()

    def run(self):
        while not self._ended.is_set():
            asked = time.monotonic()
            if self.machine.serves(self.pv):
                self.served.append(asked)  # it was so at this moment or later
            else:
                self.missed.append(asked)

    def end(self):
        self._ended.set()
        self.join()


class ServerOn(Server):
    """An iocmng server on such a machine; the test reaches it by the bridge."""

    def __init__(self, machine, root, prefix, environment):
        self.root, self.prefix, self.port = root, prefix, free_port()
        self.plugins_dir, self.repositories = root / "plugins", root / "repositories"
        self.repositories.mkdir(parents=True)
        self.log = root / "server.log"
        own = {
            "IOCMNG_PORT": str(self.port),
            "IOCMNG_PREFIX": prefix,
            "IOCMNG_HOST": "0.0.0.0",
            "IOCMNG_ALLOW_UNAUTHENTICATED": "true",
            "IOCMNG_PLUGINS_DIR": str(self.plugins_dir),
            "IOCMNG_LOCAL_ROOTS": str(root),
        }
        command = f"{sys.executable} -m iocmng server"
        self.process = machine.start(command, self.log, env=clean() | LOOPBACK | own | environment, cwd=root)
        self.http = httpx.Client(base_url=f"http://{machine.address}:{self.port}/api/v1", timeout=120)


def clean():
    """Return the environment without settings of iocmng and Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
