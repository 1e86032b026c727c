"""How a test breaks things, and what it looks at while they are broken."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
from support import LOOPBACK, TOOLS, caget, wait_for

CONTROLLER = b"ControllerActor"
REPLICA = b"ServeReplica:iocmng"
PROXY = b"ProxyActor"

_HEADER = struct.Struct(">HHHHII")
_VERSION, _SEARCH, _NO_REPLY = 0, 6, 5


def kill(pid):
    """Kill -9 one process, and return the moment."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def tell(capsys, sentence):
    """Show what was measured, whatever becomes of the test."""
    with capsys.disabled():
        sys.stdout.write(f"\n{sentence}\n")


def lives(pid):
    """Tell whether a process lives; one that only waits to be collected does not."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def the_process(server, words):
    """Return the id of the one process of a server with these words in its command line."""
    return wait_for(lambda: server.processes_with(words), f"a process {words!r}")[0]


def kill_everything(server):
    """Kill -9 a server and all that it has started, and return when nothing of it lives."""
    server.http.close()
    # One that is just being started is missed by the first look, and ends with its parent.
    for pid in [server.process.pid, *server.descendants()]:
        with contextlib.suppress(ProcessLookupError):
            kill(pid)
    server.process.wait(20)
    wait_for(lambda: not of_server(server), "every process has ended")


def of_server(server):
    """Return the ids of all living processes that work in a server's directory, whoever their parent is."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == server.root and lives(entry.name):
                found.append(int(entry.name))
    return found


def iocs_of(pv, seconds=0.4):
    """Return the TCP ports of all IOCs of this machine that answer a search for a PV."""
    name = pv.encode() + b"\0"
    name += b"\0" * (-len(name) % 8)
    request = _HEADER.pack(_VERSION, 0, 0, 13, 0, 0) + _HEADER.pack(_SEARCH, len(name), _NO_REPLY, 13, 1, 1) + name
    ports = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as search:
        search.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        search.sendto(request, ("127.255.255.255", 5064))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            search.settimeout(left)
            with contextlib.suppress(TimeoutError):
                ports |= _answers(search.recv(2048))
    return ports


def _answers(datagram):
    """Return the TCP ports that a datagram with search replies names."""
    ports = set()
    while len(datagram) >= _HEADER.size:
        command, size, port, *_ = _HEADER.unpack_from(datagram)
        if command == _SEARCH:
            ports.add(port)
        datagram = datagram[_HEADER.size + size :]
    return ports


def served_again(pv, since, deadline=30.0):
    """Wait until a PV answers; return the seconds since a moment."""
    wait_for(lambda: iocs_of(pv, 0.05), f"{pv} is served again", deadline, every=0.01)
    seconds = time.monotonic() - since
    assert caget(pv) is not None
    return seconds


def asked(server, path, method="GET", timeout=2.0, **arguments):
    """Return the status of a call, or None where nothing answers."""
    with contextlib.suppress(httpx.HTTPError):
        return server.http.request(method, path, timeout=timeout, **arguments).status_code
    return None


def answers_again(server, path, since, deadline=60.0):
    """Wait until a call is answered with 200; return the seconds since a moment."""
    wait_for(lambda: asked(server, path) == 200, f"{path} answers again", deadline, every=0.05)
    return time.monotonic() - since


def events(server, name):
    """Return a plugin's events, oldest first, without those of an earlier plugin of its name."""
    told = server.http.get(f"/plugins/{name}/events?limit=1000").raise_for_status().json()["events"]
    removed = [number for number, event in enumerate(told, 1) if event["status"] == "removed"]
    return told[removed[-1] if removed else 0 :]


def check_whole(server, names):
    """Check that exactly these plugins are up, each PV with one IOC, and that nothing else lives or lies about."""
    # For a moment a replica may show what it has heard from a Controller that is dead by now.
    wait_for(lambda: server.names() == set(names), f"{sorted(names)}, not {sorted(server.names())}")
    for name in names:
        pv = f"{server.prefix}:{name.upper()}:STATUS"
        assert caget(pv) is not None, pv
        wait_for(lambda pv=pv: len(iocs_of(pv)) == 1, f"one IOC for {pv}")
    expected = {server.get(name)["pid"] for name in names}
    # Beside the plugins one process may wait for the next one.
    wait_for(lambda: len(set(server.plugin_processes()) - expected) <= 1, "no process without a plugin", 20)


class Monitor:
    """A camonitor that runs beside a test and tells whether its PVs ever went away."""

    def __init__(self, *pvs):
        self.process = subprocess.Popen(
            [TOOLS / "camonitor", "-t", "n", *pvs],
            env=os.environ | LOOPBACK,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """End it; return everything that it has printed."""
        if self.process.poll() is None:
            self.process.terminate()
        text, _ = self.process.communicate(timeout=10)
        return text


class Call:
    """A call that runs beside the test, and its answer."""

    def __init__(self, server, method, path, **arguments):
        self._answer = None
        url = f"{server.http.base_url}{path.lstrip('/')}"
        self._thread = threading.Thread(target=self._run, args=(method, url), kwargs=arguments)
        self._thread.start()

    def _run(self, method, url, **arguments):
        with contextlib.suppress(httpx.HTTPError):
            self._answer = httpx.request(method, url, timeout=60, **arguments)

    @property
    def answer(self):
        """The answer, once it is there, or None if the connection ended without one."""
        self._thread.join(90)
        assert not self._thread.is_alive(), "no answer"
        return self._answer
