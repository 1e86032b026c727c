"""Plain Ray actors that only run softioc, as one would write them without iocmng: what plugin processes compare with.

`python -m benchmarks.plain COUNT` starts them on a Ray of their own, with the options that iocmng gives Ray, and
prints their memory and idle CPU use as JSON. Each serves the 12 records that a monitor plugin has.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import Any

import ray

from benchmarks.processes import cpu_percent, memory, settle, tree
from benchmarks.stats import median

PREFIX = "PLAIN"
OBJECT_STORE_BYTES = 128 * 1024 * 1024
CPU_SECONDS = 5.0
STATES = ("INIT", "RUN", "PAUSED", "END", "ERROR")


class PlainIoc:
    """One IOC; cothread and EPICS have a thread of their own, because the main thread is Ray's."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._ready = threading.Event()

    def start(self) -> int:
        """Start the IOC; return the process id when it serves."""
        threading.Thread(target=self._serve, daemon=True).start()
        self._ready.wait()
        return os.getpid()

    def _serve(self) -> None:
        # Without this, iocInit as root locks all memory of the process, Ray's object store included.
        os.environ["EPICS_ALLOW_POSIX_THREAD_PRIORITY_SCHEDULING"] = "NO"
        import cothread
        from softioc import builder, softioc

        builder.SetDeviceName(self._device)
        _records(builder)
        builder.LoadDatabase()
        softioc.iocInit()
        self._ready.set()
        cothread.WaitForQuit(catch_interrupt=False)


def _records(builder: Any) -> None:
    def written(_: object) -> None:
        """Take a client's put."""

    builder.aOut("SETPOINT", initial_value=50.0, EGU="%", PREC=2, on_update=written)
    builder.aIn("READING", initial_value=0.0, EGU="arb", PREC=3)
    builder.boolIn("ALARM", "OK", "ALARM", initial_value=False)
    builder.boolOut("ENABLE", "DISABLED", "ENABLED", initial_value=True, on_update=written)
    builder.mbbIn("STATUS", *STATES, initial_value=0)
    builder.stringIn("MESSAGE", initial_value="")
    builder.stringIn("VERSION", initial_value="")
    builder.boolOut("CLEAR", "IDLE", "CLEAR", initial_value=False, on_update=written)
    builder.boolOut("RESET", "IDLE", "RESET", initial_value=False, on_update=written)
    for name in ("CYCLE_COUNT", "HEARTBEAT", "UPTIME"):
        builder.longIn(name, initial_value=0)


def main() -> None:
    """Start the actors, measure, print."""
    count = int(sys.argv[1])
    os.environ |= {"RAY_memory_monitor_refresh_ms": "0", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    started = time.monotonic()
    make: Any = ray.remote(PlainIoc).options(num_cpus=0.01)  # pyright: ignore[reportAttributeAccessIssue]
    actors = [make.remote(f"{PREFIX}:M{number:03d}") for number in range(count)]
    pids = set(ray.get([actor.start.remote() for actor in actors]))
    seconds = time.monotonic() - started
    settle(os.getpid())
    taken = memory(tree(os.getpid()))
    each = [size for pid, size in taken.by_pid.items() if pid in pids]
    cpu = cpu_percent(tree(os.getpid()), CPU_SECONDS)
    ray.shutdown()
    print(
        json.dumps(
            {
                "actors": len(each),
                "seconds": seconds,
                "median_mib": median(each),
                "max_mib": max(each),
                "actors_mib": sum(each),
                "total_mib": taken.total,
                "by_role_mib": taken.by_role,
                "cpu_by_role_percent": cpu,
            }
        )
    )


if __name__ == "__main__":
    main()
