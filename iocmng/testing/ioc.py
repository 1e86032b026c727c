"""IocProcess: a plugin as a real IOC, `iocmng run` in a process of its own, in reach of this machine only."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.json_values import deep_merge
from iocmng.core.manifest import Manifest
from iocmng.core.names import check_plugin_name, record_name
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.core.pvs import DeclaredPv
from iocmng.core.yaml_text import load_yaml
from iocmng.epics.clients import EpicsPvClient
from iocmng.errors import AuthorError, TimedOut, UnknownPv
from iocmng.loading.checks import read_manifest
from iocmng.loading.processes import inherited_environment
from iocmng.testing.pvs import as_client_puts, shown_text
from iocmng.testing.source import Plugin, config_file, plugin_directory

START_TIMEOUT = 60.0
"""Seconds until an IOC serves its PVs; two on a machine that does nothing else."""

STOP_TIMEOUT = 20.0
"""Seconds until it has ended; longer than the stop_timeout after which it gives up itself."""

GET_TIMEOUT = 5.0
WAIT_TIMEOUT = 10.0
POLL_PERIOD = 0.02

_SERVING = re.compile(r"PVs on .*PVA port (?P<port>\d+)")

_LOOPBACK = {
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_ADDR_LIST": "127.255.255.255",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_PVA_ADDR_LIST": "127.255.255.255",
    "EPICS_PVA_AUTO_ADDR_LIST": "NO",
}

_CLIENT = {"EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client reads of a PV.

    Attributes:
        value: Its value, as self.get_pv() returns it; of an enum the number of the state.
        severity: Its alarm severity.
        text: The value as text: of an enum or a bool the name of its state.
    """

    value: PvValue
    severity: Severity
    text: str


class IocProcess:
    """One plugin under `iocmng run`, and a client of PV Access.

    Args:
        plugin: The plugin's class, or its directory.
        work: Directory for its output and its saved values.
        parameters: Laid over those of config.yaml.
        name: Name of the plugin; the directory's if not given.
        prefix: What stands before each PV's name; one that nobody else has if not given.
        environment: Variables beside those of the test.

    Attributes:
        prefix: What stands before each PV's name.

    Raises:
        AssertionError: If the IOC ends before it serves its PVs; the text has its output.
    """

    def __init__(
        self,
        plugin: Plugin,
        work: Path,
        *,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        prefix: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        directory = plugin_directory(plugin)
        label = uuid.uuid4().hex[:8].upper()
        self.prefix = prefix or f"TEST-{label}"
        self._log_file, names = work / f"{label}.log", work / f"{label}.pvs"
        options = ["--prefix", self.prefix, "--pvout", str(names)]
        if name:
            options += ["--name", check_plugin_name(name)]
        if parameters:
            options += ["--config", str(_with_parameters(directory, parameters, work / f"{label}.yaml"))]
        state = {"IOCMNG_STATE_DIR": str(work / "state")}
        self._process = _start(directory, options, self._log_file, {**state, **(environment or {})})
        try:
            port = self._wait_until_serving()
        except BaseException:
            self.close()
            raise
        served = [line.rpartition(":")[2] for line in names.read_text(encoding="utf-8").splitlines()]
        self._declared = _declared(read_manifest(directory), served)
        self._client = EpicsPvClient(True, {**_CLIENT, "EPICS_PVA_NAME_SERVERS": f"127.0.0.1:{port}"})

    @property
    def output(self) -> str:
        """What the process has written to stdout and stderr so far."""
        return self._log_file.read_text(errors="replace")

    def pv(self, name: str) -> str:
        """Return the full name of a PV."""
        return record_name(self.prefix, name)

    def read(self, name: str, timeout: float = GET_TIMEOUT) -> Reading:
        """Return what a client reads of a PV.

        Raises:
            UnknownPv: If the plugin declares no such PV.
            TimedOut: If the IOC does not answer within `timeout` seconds.
        """
        declared = self._find(name)
        answer = self._client.read(self.pv(name), timeout)
        match declared.pv.type:
            case "float":
                value: PvValue = float(answer)
            case "bool":
                value = bool(answer)
            case "string":
                value = str.__str__(answer)  # p4p's own str() shows the time too
            case _:
                value = int(answer)
        return Reading(value, list(Severity)[int(answer.severity)], shown_text(declared, value))

    def get(self, name: str, timeout: float = GET_TIMEOUT) -> PvValue:
        """Return the value of a PV; see read()."""
        return self.read(name, timeout).value

    def put(self, name: str, value: Any, timeout: float = GET_TIMEOUT) -> None:
        """Write an input, and wait until its record has processed; what the plugin does then comes later.

        Args:
            name: Name of the PV, without prefix.
            value: A value that fits; for an enum or a bool also the name of a state.
            timeout: Seconds.

        Raises:
            UnknownPv: If the plugin declares no such PV.
            AuthorError: If it is an output, which clients cannot write.
            PvValueError: If the value does not fit its type.
            TimedOut: If the IOC does not answer.
        """
        declared = self._find(name)
        # Drive limits are left to the record, and so is the refusal of a put to an output.
        fitting = value if declared.pv.type in ("float", "int") else as_client_puts(declared, value)
        self._client.put(self.pv(name), int(fitting) if isinstance(fitting, bool) else fitting, timeout)

    def wait_for(self, name: str, wanted: Any, timeout: float = WAIT_TIMEOUT) -> Reading:
        """Return what a client reads of a PV as soon as it is what is wanted.

        Args:
            name: Name of the PV, without prefix.
            wanted: A value; a text, such as the name of a state; or a function that is true for the value.
            timeout: Seconds.

        Raises:
            AssertionError: If it does not become that in time, or the IOC ends; the text has the last value and the
                IOC's output.
            UnknownPv: If the plugin declares no such PV.
        """
        is_wanted: Callable[[Reading], Any] = (
            (lambda reading: wanted(reading.value))
            if callable(wanted)
            else (lambda reading: wanted in (reading.value, reading.text))
        )
        self._find(name)
        end = time.monotonic() + timeout
        reading: Reading | None = None
        while True:
            ended = self._process.poll() is not None
            with contextlib.suppress(TimedOut, AuthorError):  # it may be about to end
                reading = self.read(name, timeout=max(0.1, min(1.0, end - time.monotonic())))
                if is_wanted(reading):
                    return reading
            if ended or time.monotonic() > end:
                limit = f"before the IOC ended with {self._process.returncode}" if ended else f"within {timeout:g} s"
                shown = reading and (reading.text, reading.severity.value)
                raise AssertionError(
                    f"{self.pv(name)} did not become {wanted!r} {limit}; it is {shown}; the IOC says:\n{self.output}"
                )
            time.sleep(POLL_PERIOD)

    def stop(self) -> int:
        """Ask the IOC to end, as a server does; return its exit status, 0 if cleanup() ended in time."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT)

    def close(self) -> None:
        """End the IOC, whatever it does; the fixture does it at the end of the test."""
        if "_client" in vars(self):
            self._client.close()
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _find(self, name: str) -> DeclaredPv:
        try:
            return self._declared[name]
        except KeyError:
            raise UnknownPv(f"no PV {name!r}; there are {', '.join(self._declared)}") from None

    def _wait_until_serving(self) -> int:
        """Return the port of PV Access."""
        end = time.monotonic() + START_TIMEOUT
        while True:
            ended = self._process.poll() is not None
            if found := _SERVING.search(self.output):
                return int(found["port"])
            if ended or time.monotonic() > end:
                how = f"ended with {self._process.returncode}" if ended else f"has no PVs after {START_TIMEOUT:g} s"
                raise AssertionError(f"the IOC {how}:\n{self.output}")
            time.sleep(POLL_PERIOD)


def _start(
    directory: Path, options: Sequence[str], log_file: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as output:
        return subprocess.Popen(
            # -P: else modules beside the plugin would stand in the place of Python's own.
            [sys.executable, "-P", "-m", "iocmng", "run", str(directory), *options],
            env=inherited_environment(os.environ) | _LOOPBACK | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _declared(manifest: Manifest, names: Sequence[str]) -> dict[str, DeclaredPv]:
    """Return the PVs that the IOC serves, by name; which built-in ones it has tells kind and mode."""
    kind = Kind.JOB if "PROGRESS" in names else Kind.TASK
    mode = Mode.TRIGGERED if "RUN" in names else Mode.CONTINUOUS
    return {pv.name: pv for pv in manifest.declared_pvs(kind, mode)}


def _with_parameters(directory: Path, parameters: Mapping[str, Any], file: Path) -> Path:
    """Write the plugin's config with other parameters."""
    own = config_file(directory)
    data = (load_yaml(own.read_text(encoding="utf-8"), own.name)[0] if own else None) or {}
    merged = {**data, "parameters": deep_merge(data.get("parameters") or {}, parameters)}
    file.write_text(yaml.safe_dump(merged), encoding="utf-8")
    return file
