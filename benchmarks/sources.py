"""The plugins that the benchmarks add: files of one git repository, each plugin in a directory of its own."""

from __future__ import annotations

MONITOR = "monitor"
ECHO = "echo"
JITTER = "jitter"
SPINNER = "spinner"
EMPTY_JOB = "empty_job"
SLEEPING_JOB = "sleeping_job"
SLOW_ADD = "slow_add"

JITTER_INTERVAL = 0.1
SLOW_ADD_SECONDS = 20
SLEEPING_JOB_SECONDS = 5

# MyMonitor and its config are those of the project's founding document: 3 PVs, and the 9 that every task has.
_MONITOR = """\
from iocmng import TaskBase


class MyMonitor(TaskBase):
    def initialize(self):
        self.logger.info("Starting monitor")

    def execute(self):
        value = self.read_sensor()
        self.set_pv("READING", value)
        if value > self.parameters.get("threshold", 75):
            self.set_pv("ALARM", 1)

    def cleanup(self):
        self.logger.info("Stopping monitor")

    def read_sensor(self):
        return 42.0
"""

_MONITOR_CONFIG = """\
parameters:
  mode: continuous
  interval: 1.0
  threshold: 75.0
pvs:
  inputs:
    SETPOINT: {type: float, value: 50.0, unit: "%", prec: 2, low: 0, high: 100}
  outputs:
    READING: {type: float, value: 0.0, unit: "arb", prec: 3}
    ALARM: {type: bool, value: 0, znam: "OK", onam: "ALARM"}
"""

_ECHO = """\
from iocmng import TaskBase


class Echo(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pass

    def on_write(self, pv_name, value):
        self.set_pv("OUT", value)

    def cleanup(self):
        pass
"""

_ECHO_CONFIG = """\
parameters: {mode: continuous, interval: 1.0}
pvs:
  inputs:
    IN: {type: float, value: -1.0}
  outputs:
    OUT: {type: float, value: -1.0}
"""

# The grid's phase is not known here, so the cycle that was least late stands for it.
_JITTER = """\
import math
import time

from iocmng import TaskBase


class Jitter(TaskBase):
    def initialize(self):
        self.at = []

    def execute(self):
        self.at.append(time.monotonic())
        if len(self.at) > 2 and self.at[-1] - self.at[0] >= self.parameters["duration"]:
            self.tell()
            self.at = []

    def tell(self):
        interval = self.parameters["interval"]
        slots = [round((at - self.at[0]) / interval) for at in self.at]
        phases = [at - slot * interval for at, slot in zip(self.at, slots)]
        late = sorted(phase - min(phases) for phase in phases)
        self.set_pv("MEAN", (self.at[-1] - self.at[0]) / slots[-1])
        self.set_pv("P50", late[len(late) // 2])
        self.set_pv("P99", late[math.ceil(0.99 * len(late)) - 1])
        self.set_pv("MAX", late[-1])
        self.set_pv("SKIPPED", slots[-1] + 1 - len(slots))
        self.set_pv("COUNT", len(late))

    def cleanup(self):
        pass
"""

_JITTER_CONFIG = f"""\
parameters: {{mode: continuous, interval: {JITTER_INTERVAL}, duration: 20.0}}
pvs:
  outputs:
    MEAN: {{type: float, value: 0.0, unit: s, prec: 6}}
    P50: {{type: float, value: 0.0, unit: s, prec: 6}}
    P99: {{type: float, value: 0.0, unit: s, prec: 6}}
    MAX: {{type: float, value: 0.0, unit: s, prec: 6}}
    SKIPPED: {{type: int, value: 0}}
    COUNT: {{type: int, value: 0}}
"""

_SPINNER = """\
from iocmng import TaskBase


class Spinner(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        number = 0
        while self.running:
            number = (number * 31 + 7) % 1000003

    def cleanup(self):
        pass
"""

_EMPTY_JOB = """\
from iocmng import JobBase, JobResult


class EmptyJob(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return JobResult(success=True)
"""

_SLEEPING_JOB = f"""\
import time

from iocmng import JobBase, JobResult


class SleepingJob(JobBase):
    def initialize(self):
        pass

    def execute(self):
        time.sleep({SLEEPING_JOB_SECONDS})
        return JobResult(success=True)
"""

# A package whose build takes long, without any network: its build backend is in its own tree.
_SLOW_PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "iocmng-benchmark-slow"
version = "1.0"
"""

_SLOW_BACKEND = f"""\
import pathlib
import time
import zipfile

NAME = "iocmng_benchmark_slow-1.0"
METADATA = "Metadata-Version: 2.1\\nName: iocmng-benchmark-slow\\nVersion: 1.0\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: benchmark\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    time.sleep({SLOW_ADD_SECONDS})
    name = f"{{NAME}}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("iocmng_benchmark_slow.py", "")
        wheel.writestr(f"{{NAME}}.dist-info/METADATA", METADATA)
        wheel.writestr(f"{{NAME}}.dist-info/WHEEL", WHEEL)
        wheel.writestr(f"{{NAME}}.dist-info/RECORD", "")
    return name
"""


def repository_files() -> dict[str, str]:
    """Return the files of the repository, by path."""
    return {
        f"{MONITOR}/my_monitor.py": _MONITOR,
        f"{MONITOR}/config.yaml": _MONITOR_CONFIG,
        f"{ECHO}/echo.py": _ECHO,
        f"{ECHO}/config.yaml": _ECHO_CONFIG,
        f"{JITTER}/jitter.py": _JITTER,
        f"{JITTER}/config.yaml": _JITTER_CONFIG,
        f"{SPINNER}/spinner.py": _SPINNER,
        f"{SPINNER}/config.yaml": "parameters: {mode: continuous, interval: 0.1}\n",
        f"{EMPTY_JOB}/empty_job.py": _EMPTY_JOB,
        f"{SLEEPING_JOB}/sleeping_job.py": _SLEEPING_JOB,
        f"{SLOW_ADD}/slow_add.py": _MONITOR,
        f"{SLOW_ADD}/config.yaml": _MONITOR_CONFIG,
        f"{SLOW_ADD}/requirements.txt": "./package\n",
        f"{SLOW_ADD}/package/pyproject.toml": _SLOW_PROJECT,
        f"{SLOW_ADD}/package/backend.py": _SLOW_BACKEND,
    }
