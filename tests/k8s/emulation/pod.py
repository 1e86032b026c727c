"""A pod that runs: one machine of the network, its containers one after the other, its volumes, its probes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from manifests import Manifest
from namespaces import Machine, run
from support import wait_for

from .sandbox import PASSWD, Mount, Sandbox, image_environment

INIT_LIMIT = 180.0


class Pod:
    """A pod on a machine of its own. It is made, started, and ended; a new one takes its place.

    Args:
        manifest: What the operator made.
        machine: Its place in the network.
        directory: Its volumes and its log; they end with it.
        claims: The volumes that stay.
        files: The files of a ConfigMap, by its name.
        environment: The variables of one of its containers.
        hosts: What stands for the cluster's DNS.
    """

    def __init__(
        self,
        manifest: Manifest,
        machine: Machine,
        directory: Path,
        claims: Path,
        files: Callable[[str], dict[str, str]],
        environment: Callable[[Manifest, Manifest], dict[str, str]],
        hosts: Path,
    ) -> None:
        self.manifest, self.machine, self.directory, self.hosts = manifest, machine, directory, hosts
        self.log = directory / "log"
        self.is_published = False
        self._files, self._environment = files, environment
        self._memory = Path("/dev/shm") / f"iocmng-{machine.name}"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        (directory / "passwd").write_text(PASSWD, encoding="ascii")
        self._volumes = {one["name"]: self._volume(one, claims) for one in manifest["spec"].get("volumes", ())}
        run("ip", "-n", machine.name, "route", "add", "default", "via", machine.gateway)
        for setting in manifest["spec"].get("securityContext", {}).get("sysctls", ()):
            path = f"/proc/sys/{setting['name'].replace('.', '/')}"
            run("ip", "netns", "exec", machine.name, "sh", "-c", f"echo '{setting['value']}' > {path}")

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]

    @property
    def address(self) -> str:
        return self.machine.address

    @property
    def container(self) -> Manifest:
        """The container that KubeRay looks at, which is the first."""
        return self.manifest["spec"]["containers"][0]

    # --- its life

    def start(self) -> None:
        """Run the init containers, then start the container."""
        for container in self.manifest["spec"].get("initContainers", ()):
            process = self._run(container)
            assert process.wait(INIT_LIMIT) == 0, f"{container['name']} of {self.name} failed: {self.tail()}"
        self.start_container()

    def start_container(self) -> None:
        """Start the container, for the first time or after it ended: network and volumes stay what they were."""
        self._process = self._run(self.container)

    def first_process(self) -> int:
        """Return the process id, on this machine, of the container's process 1."""
        return wait_for(self._child, f"{self.name} has a process")

    def kill(self) -> None:
        """End all its processes in one moment, as when its machine loses power."""
        assert self._process is not None
        os.kill(self.first_process(), signal.SIGKILL)
        self._process.wait(20)
        self.is_published = False

    def delete(self) -> None:
        """End it in good order, as `kubectl delete pod` and a drain do: preStop, SIGTERM, the grace period, SIGKILL."""
        assert self._process is not None
        self.is_published = False
        end = time.monotonic() + self.manifest["spec"].get("terminationGracePeriodSeconds", 30)
        first = self.first_process()
        hook = self.container.get("lifecycle", {}).get("preStop", {}).get("exec")
        if hook:
            self.execute(hook["command"], end - time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(end - time.monotonic(), 0.1))
            return
        os.kill(first, signal.SIGKILL)
        self._process.wait(20)

    def end(self) -> None:
        """Leave nothing of it but the volumes that were claimed."""
        self.machine.end()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self._memory, ignore_errors=True)

    # --- what the kubelet asks

    def execute(self, command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        enter = ["nsenter", f"--target={self.first_process()}", "--all", "--root", "--wd"]
        sandbox = Sandbox(self.manifest, self.container)
        full = [*enter, *sandbox.as_user(), *command]
        environment = self._all_variables(self.container)
        return subprocess.run(full, env=environment, capture_output=True, text=True, timeout=limit, check=False)

    def passes(self, probe: Manifest) -> bool:
        """Tell whether a probe succeeds now."""
        limit = probe.get("timeoutSeconds", 1)
        try:
            if "httpGet" in probe:
                get = probe["httpGet"]
                return httpx.get(f"http://{self.address}:{get['port']}{get['path']}", timeout=limit).is_success
            return self.execute(probe["exec"]["command"], limit).returncode == 0
        except (httpx.HTTPError, subprocess.TimeoutExpired):
            return False

    def wait_until_ready(self) -> float:
        """Return the seconds until the startup probe and the readiness probe succeeded."""
        begin = time.monotonic()
        for name in ("startupProbe", "readinessProbe"):
            probe = self.container.get(name)
            if probe is None:
                continue
            period = probe.get("periodSeconds", 10)
            limit = probe.get("initialDelaySeconds", 0) + period * probe.get("failureThreshold", 3)
            what = f"{name} of {self.name} succeeds; log: {self.log}"
            wait_for(lambda probe=probe: self._asked(probe), what, limit, min(period, 1))
        self.is_published = True
        return time.monotonic() - begin

    def _asked(self, probe: Manifest) -> bool:
        self.first_process()
        return self.passes(probe)

    # --- what is in it

    def on_this_machine(self, path: str) -> Path:
        """Return where a directory of the container's volumes lies outside of it."""
        (name,) = [one["name"] for one in self.container["volumeMounts"] if one["mountPath"] == path]
        return self._volumes[name]

    def host_pid(self, pid: int) -> int | None:
        """Return the process id, on this machine, of the process that has this one in the pod."""
        for one in self.machine.pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{one}/status").read_text(encoding="utf-8")
                (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
                if line.split()[-1] == str(pid):
                    return one
        return None

    def listeners(self) -> dict[int, str]:
        """Return the TCP ports at which somebody listens on its address, each with the name of the process."""
        printed = run("ip", "netns", "exec", self.machine.name, "ss", "-Hltnp").stdout
        found: dict[int, str] = {}
        for line in printed.splitlines():
            _, _, _, local, _, *process = line.split(maxsplit=5)
            host, _, port = local.rpartition(":")
            if host != "127.0.0.1":
                found[int(port)] = process[0].split('"')[1] if process else "?"
        return found

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _child(self) -> int | None:
        assert self._process is not None
        assert self._process.poll() is None, f"the container of {self.name} has ended: {self.tail()}"
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return int(children[0]) if children else None

    def _run(self, container: Manifest) -> subprocess.Popen[bytes]:
        sandbox = Sandbox(self.manifest, container, self._mounts(container))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.machine.name, *sandbox.command()],
                env=self._all_variables(container),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _all_variables(self, container: Manifest) -> dict[str, str]:
        return image_environment() | {"HOSTNAME": self.name} | self._environment(self.manifest, container)

    def _mounts(self, container: Manifest) -> list[Mount]:
        mounts = [Mount(self.directory / "passwd", "/etc/passwd", True), Mount(self.hosts, "/etc/hosts", True)]
        for one in container.get("volumeMounts", ()):
            source = self._volumes[one["name"]] / one.get("subPath", "")
            mounts.append(Mount(source, one["mountPath"], one.get("readOnly", False)))
        return mounts

    def _volume(self, volume: Manifest, claims: Path) -> Path:
        if "persistentVolumeClaim" in volume:
            return self._made(claims / volume["persistentVolumeClaim"]["claimName"])
        memory = volume.get("emptyDir", {}).get("medium") == "Memory"
        path = self._made((self._memory if memory else self.directory / "volumes") / volume["name"])
        if "configMap" in volume:
            for name, text in self._files(volume["configMap"]["name"]).items():
                (path / name).write_text(text, encoding="utf-8")
        return path

    def _made(self, path: Path) -> Path:
        """Make the directory of a volume: everybody may write, and what is made in it belongs to the pod's group."""
        path.mkdir(parents=True, exist_ok=True)
        group: Any = self.manifest["spec"].get("securityContext", {}).get("fsGroup", 0)
        os.chown(path, -1, group)
        path.chmod(0o2777)
        return path
