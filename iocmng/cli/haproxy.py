"""Ray Serve's HAProxy mode, kept apart from other servers of the machine and ended for certain."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path


class HaProxy:
    """The files and processes of HAProxy for one server.

    Ray Serve puts HAProxy's admin socket, open to everyone, into a directory that all servers of a machine share, and
    its haproxy process outlives a Ray that is shut down. A directory of our own, closed to others, cures the first and
    tells which processes are ours for the second.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="iocmng-haproxy-"))

    def environment(self) -> dict[str, str]:
        """Return the variables that must be set before Ray starts."""
        return {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(self._directory / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(self._directory / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(self._directory),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(self._directory / "server-state"),
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        }

    def end(self) -> None:
        """End the processes that were started with our directory, by their ids, and remove it."""
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _pids(self) -> list[int]:
        mark = str(self._directory).encode()
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    if mark in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return found
