"""A pod of 2.x around a server: /data/plugins, /etc/epik8s-beamline.yaml and port 8080 are its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import LOOPBACK, TOOLS, descendants_of, wait_for

# Everything of this machine is there, but for /etc, which is a copy, and /data, which is the test's.
ENTER = """
set -e
root=$1
mount --make-rprivate /
for place in /* /.[!.]*; do
  case $place in /etc|/data|/mnt|/lost+found|"/.[!.]*") continue;; esac
  if [ -L "$place" ]; then cp -P "$place" "$root$place"
  elif [ -d "$place" ]; then mkdir -p "$root$place"; mount --rbind "$place" "$root$place"; fi
done
ip link set lo up
exec chroot "$root" sh -c "$2"
"""


def missing() -> str | None:
    """Return why such a pod cannot be made here, or None."""
    if os.geteuid() != 0:
        return "namespaces need root"
    if absent := [tool for tool in ("unshare", "nsenter", "ip", "curl") if shutil.which(tool) is None]:
        return f"there is no {', '.join(absent)}"
    tried = subprocess.run(["unshare", "-m", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"namespaces cannot be made: {tried.stderr.decode().strip()}"


class OldSite:
    """A container of 2.x with our commands on its PATH, in mount and network namespaces of its own.

    Args:
        root: Becomes its root directory; what lies in `etc`, `data` and `mnt` there is what it sees.
        start: The chart's `start`, which `sh -c` runs.
        environment: The chart's `env`, and what the image sets.
    """

    def __init__(self, root: Path, start: str, environment: Mapping[str, str]) -> None:
        shutil.copytree("/etc", root / "etc", symlinks=True, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        (root / "data").mkdir(exist_ok=True)
        self.log = root / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--net", "sh", "-c", ENTER, "sh", str(root), start],
                env=clean | LOOPBACK | {"PATH": path} | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def inside(self, *command: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in its network, as a client beside it."""
        return subprocess.run(
            ["nsenter", "--target", str(self.process.pid), "--net", *command],
            env=os.environ | LOOPBACK,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def caget(self, pv: str, *options: str) -> str | None:
        """Return a PV's value as caget prints it, or None where it does not answer."""
        done = self.inside(str(TOOLS / "caget"), "-t", "-w", "2", *options, pv)
        return done.stdout.strip() if done.returncode == 0 else None

    def caput(self, pv: str, value: object) -> None:
        """Write a PV."""
        self.inside(str(TOOLS / "caput"), "-w", "2", pv, str(value))

    def call(
        self, method: str, path: str, body: Any = None, origin: str | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Call its API on port 8080 as a browser does; return status, headers and body."""
        command = ["curl", "-s", "-i", "-X", method, f"http://127.0.0.1:8080{path}"]
        command += ["-H", f"Origin: {origin}"] if origin else []
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body is not None else []
        done = self.inside(*command)
        head, _, text = done.stdout.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.split("\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        is_json = headers.get("content-type", "").startswith(("application/json", "application/problem+json"))
        return int(first.split()[1]) if first else 0, headers, json.loads(text) if is_json else None

    def wait_until_ready(self) -> None:
        """Return when it is ready; fail with its log if it ends or takes too long."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.call("GET", "/api/v1/readyz")[0] == 200

        wait_for(is_ready, f"ready; log: {self.log}", 90, 0.3)

    def end(self, words: bytes) -> None:
        """Send SIGTERM to the process with these words in its command line, and wait for the end of the pod."""
        for pid in {self.process.pid} | descendants_of(self.process.pid):
            line = Path(f"/proc/{pid}/cmdline")
            if line.exists() and words in line.read_bytes() and b"sh\0-c" not in line.read_bytes():
                os.kill(pid, signal.SIGTERM)
                break
        self.process.wait(60)

    def kill(self) -> None:
        """End everything of it at once; for the end of a test that failed."""
        for pid in [*descendants_of(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(20)
