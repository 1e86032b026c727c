"""An IOC in a process of its own, and the little that the tests need around EPICS Base's tools."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from support import LOOPBACK, TOOLS, tool, wait_for

PLUGINS = Path(__file__).with_name("plugins")
RUN = (sys.executable, "-m", "iocmng", "run")
RUN_ALIAS = (sys.executable, "-c", "from iocmng.cli.main import run_main; run_main()")
START_LIMIT = 60.0
"""Seconds until an IOC serves on a machine where everybody tests at once; two on one that is idle."""

_numbers = itertools.count(1)


def new_prefix() -> str:
    """Return a PV prefix that no other test has, not even one of another pytest on this machine."""
    return f"IOC-{os.getpid()}:{next(_numbers)}"


def copy_plugin(name: str, target: Path) -> Path:
    """Copy one of the plugins beside the tests, so that it can write files; return the new directory."""
    return Path(shutil.copytree(PLUGINS / name, target / name))


def unescaped(text: str) -> str:
    """Return a text as it is in the record: caget prints quotes and all that is not ASCII with a backslash."""
    return ast.literal_eval(f'b"{text}"').decode()


class Ioc:
    """One `iocmng run`.

    Args:
        command: The command line.
        prefix: PV prefix that it will serve.
        log: File for its output; beside it is the state directory.
        cwd: Working directory.
        environment: Variables beside those of the test.
    """

    def __init__(
        self, command: Sequence[object], prefix: str, log: Path, cwd: Path | None = None, **environment: str
    ) -> None:
        self.prefix = prefix
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=os.environ | LOOPBACK | {"IOCMNG_STATE_DIR": str(log.parent / "state")} | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def wait_until_serving(self) -> Ioc:
        """Return when it says that its PVs are there."""
        self.wait_for_line(" PVs on ")
        return self

    def wait_for_line(self, text: str) -> None:
        """Return when the output has this text; fail if the process ends before."""

        def said() -> bool:
            ended = self.process.poll() is not None
            found = text in self.output()
            assert found or not ended, f"ended with {self.process.returncode}: {self.output()}"
            return found

        wait_for(said, f"{text!r} in the output of {self.prefix}", START_LIMIT)

    def output(self) -> str:
        """Return what it has written to stdout and stderr so far."""
        return self.log.read_text(errors="replace")

    def pv(self, name: str) -> str:
        """Return the full name of a PV."""
        return f"{self.prefix}:{name}"

    def get(self, name: str, *options: str) -> str:
        """Return a value as caget prints it."""
        return self.get_all(name, options=options)[0]

    def get_all(self, *names: str, options: Sequence[str] = ()) -> list[str]:
        """Return several values as one caget prints them."""
        done = tool("caget", "-t", "-w", "5", *options, *map(self.pv, names))
        assert done.returncode == 0, done.stderr + self.output()
        return [unescaped(line) for line in done.stdout.removesuffix("\n").split("\n")]

    def fields(self, name: str, *fields: str) -> dict[str, str]:
        """Return fields of a record; enums among them by name."""
        return dict(zip(fields, self.get_all(*(f"{name}.{field}" for field in fields)), strict=True))

    def alarm(self, name: str) -> tuple[str, str]:
        """Return a PV's alarm status and severity as `caget -a` prints them."""
        # "NAME  DATE TIME VALUE STAT SEVR", with nothing for the last two where there is no alarm.
        separator = "\x1f"
        done = tool("caget", "-a", "-w", "5", "-F", separator, self.pv(name))
        assert done.returncode == 0, done.stderr + self.output()
        status, severity = done.stdout.rstrip("\n").split(separator)[-2:]
        return status or "NO_ALARM", severity or "NO_ALARM"

    def put(self, name: str, value: object, *options: str) -> str:
        """Write with caput; return what it prints."""
        done = tool("caput", "-w", "5", *options, self.pv(name), str(value))
        return done.stdout + done.stderr

    def wait_value(self, name: str, value: str, *options: str) -> None:
        """Return when caget prints this value."""
        wait_for(lambda: self.get(name, *options) == value, f"{self.pv(name)} is {value}", every=0.01)

    def writes(self, directory: Path) -> list[tuple[str, object]]:
        """Return the calls of the puppet's on_write(), COMMAND left out."""
        notes = directory / "writes.txt"
        return [tuple(json.loads(line)) for line in notes.read_text().splitlines()] if notes.is_file() else []

    def status_field(self, field: str) -> int:
        """Return a field of /proc/PID/status in kB."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return int(lines[field].split()[0])

    def wait_end(self, limit: float = 20.0) -> int:
        """Return the exit status; fail if the process, or one that it started, is still there then."""
        status = self.process.wait(limit)
        assert not self.has_processes(), "a process stayed behind"
        return status

    def has_processes(self) -> bool:
        """Tell whether any process of its session lives."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, 0)
            return True
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        self.process.send_signal(number)
        return self.wait_end()

    def kill(self) -> None:
        """End it, whatever it does; for the end of a test that failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Camonitor:
    """EPICS Base's camonitor on some PVs."""

    def __init__(self, log: Path, *pvs: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [TOOLS / "camonitor", "-t", "n", *pvs], env=os.environ | LOOPBACK, stdout=output, stderr=output
            )

    def values(self, pv: str) -> list[str]:
        """Return the values of a PV in their order; a value that comes twice in a row stands once."""
        lines = (line.split(maxsplit=1) for line in self._log.read_text().splitlines() if line.startswith(f"{pv} "))
        found = [rest[0].rstrip() if rest else "" for _, *rest in lines]
        return [value for value, _ in itertools.groupby(found) if "Not connected" not in value]

    def wait_connected(self, *pvs: str) -> None:
        """Return when each PV has sent its first value."""
        wait_for(lambda: all(self.values(pv) for pv in pvs), "camonitor is connected")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


@contextlib.contextmanager
def camonitor(log: Path, *pvs: str) -> Iterator[Camonitor]:
    """Run camonitor on some PVs for the length of a block."""
    monitor = Camonitor(log, *pvs)
    try:
        yield monitor
    finally:
        monitor.close()
