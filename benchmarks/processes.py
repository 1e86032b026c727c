"""Processes of a server: which there are, what they are for, and what memory and CPU they take (Linux /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
MIB = 1024.0

_ROLES = (
    ("gcs/gcs_server", "gcs_server"),
    ("raylet/raylet", "raylet"),
    ("_private/log_monitor.py", "log monitor"),
    ("_private/monitor.py", "monitor"),
    ("dashboard/dashboard.py", "dashboard"),
    ("ray::DashboardAgent", "dashboard agent"),
    ("ray::RuntimeEnvAgent", "runtime env agent"),
    ("ray::ServeController", "Serve controller"),
    ("ray::ProxyActor", "Serve proxy"),
    ("ray::HAProxyManager", "HAProxy manager"),
    ("bin/haproxy", "haproxy"),
    ("ray::ServeReplica", "API replica"),
    ("ray::ControllerActor", "Controller"),
    ("ray::PluginProcess", "warm process"),
    ("ray::PlainIoc", "plain actor"),
)
"""A part of the command line, and the role it tells; the first that fits wins."""

OTHER_WORKERS = "other Ray workers"
_WORKERS = ("warm process", "plain actor", OTHER_WORKERS)
LOADING_PERCENT = 20.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the tree."""

    pid: int
    role: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set sizes (each shared page divided among those who share it), in MiB.

    Attributes:
        by_role: Sum for each role.
        by_pid: Each process.
    """

    by_role: dict[str, float]
    by_pid: dict[int, float]

    @property
    def total(self) -> float:
        """Sum over all processes."""
        return sum(self.by_pid.values())


def descendants(pid: int) -> Iterator[int]:
    """Yield a process and everything below it."""
    children: dict[int, list[int]] = defaultdict(list)
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int(_stat_fields(int(directory.name))[1])
                children[parent].append(int(directory.name))
    pending = [pid]
    while pending:
        yield (found := pending.pop())
        pending += children[found]


def tree(root: int, plugins: Collection[int] = ()) -> list[Process]:
    """Return the processes below `root`, itself included, each with its role.

    Args:
        root: The server's process id, called the driver.
        plugins: Process ids that run a plugin; the other plugin processes wait warm.
    """
    return [Process(pid, _role(pid, root, plugins)) for pid in descendants(root)]


def memory(processes: Iterable[Process]) -> Memory:
    """Return what the processes take now; one that has ended meanwhile takes nothing."""
    by_role: dict[str, float] = defaultdict(float)
    by_pid: dict[int, float] = {}
    for process in processes:
        with contextlib.suppress(OSError, ValueError):
            size = _pss(process.pid)
            by_pid[process.pid] = size
            by_role[process.role] += size
    return Memory(dict(sorted(by_role.items(), key=lambda item: -item[1])), by_pid)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used; 0 for one that has ended."""
    try:
        fields = _stat_fields(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def cpu_percent(processes: Iterable[Process], seconds: float) -> dict[str, float]:
    """Watch processes for a while; return the CPU use of each role, in percent of one core."""
    watched = list(processes)
    before = {process.pid: cpu_seconds(process.pid) for process in watched}
    start = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    used: dict[str, float] = defaultdict(float)
    for process in watched:
        used[process.role] += max(0.0, cpu_seconds(process.pid) - before[process.pid]) / elapsed * 100
    return dict(sorted(used.items(), key=lambda item: -item[1]))


def settle(root: int, limit: float = 20.0) -> None:
    """Wait until no process below `root` is still loading its libraries, or `limit` seconds.

    A process that loads uses a whole core, one that runs a plugin hardly any; what the others do is their normal life.
    """
    end = time.monotonic() + limit
    busiest = 100.0
    while busiest >= LOADING_PERCENT and time.monotonic() < end:
        workers = [process for process in tree(root) if process.role in _WORKERS]
        before = {process.pid: cpu_seconds(process.pid) for process in workers}
        time.sleep(1.0)
        busiest = max((cpu_seconds(pid) - used for pid, used in before.items()), default=0.0) * 100


def end_by_pid(pids: Iterable[int], wait: float = 5.0) -> list[str]:
    """Kill those processes that do not end by themselves within `wait` seconds; return their command lines."""
    left = {pid: started for pid in pids if (started := _start_time(pid))}
    end = time.monotonic() + wait
    while left and time.monotonic() < end:
        time.sleep(0.05)
        left = {pid: started for pid, started in left.items() if _start_time(pid) == started}
    commands = [_command(pid)[:120] for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return commands


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat that follow the name: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _start_time(pid: int) -> str:
    """Return what tells a process from a later one of the same id; "" if it is gone or a zombie."""
    try:
        fields = _stat_fields(pid)
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _role(pid: int, root: int, plugins: Collection[int]) -> str:
    if pid == root:
        return "driver"
    if pid in plugins:
        return "plugins"
    command = _command(pid)
    return next((role for sign, role in _ROLES if sign in command), OTHER_WORKERS)


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / MIB
    raise ValueError(f"no Pss of {pid}")
