"""What a container runtime does: a root of its own from parts of this machine, and a user without rights (bubblewrap).

The image is not there. Its place is taken by this checkout and its virtual environment, with the variables that the
Dockerfile sets. There is no seccomp profile and no limit of memory or CPU either, and open files are limited as on this
machine.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from manifests import ROOT, Manifest

from .kuberay import NotEmulated

FROM_THIS_MACHINE = ("/etc/ssl", "/etc/ca-certificates", "/etc/alternatives", "/etc/nsswitch.conf", "/etc/ld.so.cache")
PASSWD = "root:x:0:0::/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\niocmng:x:1000:1000::/home/iocmng:/bin/bash\n"


def missing() -> str | None:
    """Return which program is not here that sandboxes, or what runs in them, need; None: all are."""
    packages = {
        "bwrap": "bubblewrap",
        "setpriv": "util-linux",
        "nsenter": "util-linux",
        "ss": "iproute2",
        "redis-server": "redis-server",
    }
    for program, package in packages.items():
        if shutil.which(program) is None:
            return f"there is no `{program}` (package {package})"
    return None


def image_environment() -> dict[str, str]:
    """Return the variables that the Dockerfile sets, with the programs of this checkout on the path."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    given = dict(word.split("=", 1) for word in shlex.split(block.replace("\\\n", " ")))
    return given | {"PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/home/iocmng"}


@dataclass(frozen=True)
class Mount:
    """A file or directory of this machine that a container sees."""

    source: Path
    target: str
    is_read_only: bool = False


@dataclass(frozen=True)
class Sandbox:
    """A container of a pod.

    Args:
        pod: The pod's manifest.
        container: One of its containers.
        mounts: Its volumes, and its /etc/hosts.
    """

    pod: Manifest
    container: Manifest
    mounts: list[Mount] = field(default_factory=list)

    def command(self) -> list[str]:
        """Return the command line that runs the container's; its first child is the container's first process."""
        root = self._security("readOnlyRootFilesystem", False)
        host = ("--unshare-uts", "--hostname", self.pod["metadata"]["name"])
        return [
            *("bwrap", "--unshare-pid", "--unshare-ipc", *host),
            *("--as-pid-1", *self._root(), *self._volumes()),
            *(("--remount-ro", "/") if root else ()),
            *("--chdir", "/", "--", *self.as_user(), *self.container["command"], *self.container.get("args", ())),
        ]

    def as_user(self) -> list[str]:
        """Return the beginning of a command line that gives up what the container may not do."""
        user, group = self._security("runAsUser", 0), self._security("runAsGroup", 0)
        words = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        dropped = self._security("capabilities", {}).get("drop", [])
        if dropped not in ([], ["ALL"]):
            raise NotEmulated(f"capabilities.drop: {dropped}; only ALL is emulated")
        if dropped:
            words += ["--bounding-set=-all", "--inh-caps=-all"]
        return words if self._security("allowPrivilegeEscalation", True) else [*words, "--no-new-privs"]

    def _security(self, name: str, default):
        """Return what the container says of it, else what its pod says."""
        outside = self.pod["spec"].get("securityContext", {})
        return self.container.get("securityContext", {}).get(name, outside.get(name, default))

    def _root(self) -> list[str]:
        read = [Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), ROOT]
        parents = sorted({parent for path in read for parent in path.parents if parent != Path("/")})
        # Without them the directories that bubblewrap makes for a mount could be entered by root alone.
        made = (*parents, Path("/etc"), Path("/home"), Path("/data"), Path("/run"), Path("/etc/iocmng"))
        words = [word for path in made for word in ("--perms", "0755", "--dir", path)]
        for name in ("bin", "lib", "lib64", "sbin"):
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        for path in read:
            words += ["--ro-bind", path, path]
        for path in FROM_THIS_MACHINE:
            words += ["--ro-bind-try", path, path]
        return [*map(str, words), "--proc", "/proc", "--dev", "/dev"]

    def _volumes(self) -> list[str]:
        words: list[str] = []
        for mount in sorted(self.mounts, key=lambda one: one.target):
            words += ["--ro-bind" if mount.is_read_only else "--bind", str(mount.source), mount.target]
        return words
