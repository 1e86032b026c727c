"""How `iocmng run` ends."""

import signal
import time

import pytest
from support import wait_for, write_files

pytestmark = pytest.mark.thorough

TIDY = """\
import subprocess
from pathlib import Path
from iocmng import TaskBase

class Tidy(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pass

    def cleanup(self):
        (Path(__file__).parent / "cleaned").write_text(f"running {self.running}, PV {self.get_pv('ENABLE')}")
"""

HANGING = """\
import threading
from iocmng import TaskBase

class Hanging(TaskBase):
    def initialize(self):
        print("initialized", flush=True)

    def execute(self):
        pass

    def cleanup(self):
        print("cleaning", flush=True)
        threading.Event().wait()
"""

STUCK = """\
from iocmng import TaskBase

class Stuck(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        print("stuck", flush=True)
        while True:
            pass

    def cleanup(self):
        pass
"""

SLOW_START = """\
import time
from iocmng import TaskBase

class SlowStart(TaskBase):
    def initialize(self):
        print("initializing", flush=True)
        while self.running:
            time.sleep(0.05)
        print("initialized", flush=True)

    def execute(self):
        print("a cycle", flush=True)

    def cleanup(self):
        print("cleaned", flush=True)
"""

LONG_JOB = """\
import time
from iocmng import JobBase

class LongJob(JobBase):
    def initialize(self):
        pass

    def execute(self):
        while not self.cancelled:
            time.sleep(0.05)
        print("cancelled", flush=True)

    def cleanup(self):
        print("cleaned", flush=True)
"""

SELF_ENDING = """\
from iocmng import TaskBase

class SelfEnding(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        if self.cycle_count == 3:
            self.running = False
            self.set_message("done")

    def cleanup(self):
        print("cleaned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_runs_cleanup(start, tmp_path, number):
    """SIGTERM and SIGINT run cleanup(), while the PVs are still there; the process ends with status 0 at once."""
    directory = write_files(tmp_path / "tidy", {"tidy.py": TIDY})
    ioc = start(directory).wait_until_serving()
    ioc.wait_value("STATUS", "RUN")
    began = time.monotonic()
    assert ioc.stop(number) == 0
    assert time.monotonic() - began < 5  # of the ten that it may take; on an idle machine 0.1
    assert (directory / "cleaned").read_text() == "running False, PV True"
    assert "Traceback" not in ioc.output()


def test_a_cleanup_that_hangs(start, tmp_path):
    """After IOCMNG_STOP_TIMEOUT the process ends all the same, with status 1, and says why; more signals do no harm."""
    directory = write_files(tmp_path / "hanging", {"hanging.py": HANGING})
    ioc = start(directory, IOCMNG_STOP_TIMEOUT="1").wait_until_serving()
    ioc.wait_value("STATUS", "RUN")
    began = time.monotonic()
    ioc.process.send_signal(signal.SIGTERM)
    ioc.wait_for_line("cleaning")
    ioc.process.send_signal(signal.SIGINT)
    assert ioc.wait_end() == 1
    assert 1 <= time.monotonic() - began < 8
    assert ioc.output().splitlines()[-1] == "iocmng: cleanup() did not end within 1 s"


def test_a_cycle_that_never_ends(start, tmp_path):
    """An execute() that spins for good does not keep the process: status 1 after IOCMNG_STOP_TIMEOUT."""
    directory = write_files(tmp_path / "stuck", {"stuck.py": STUCK})
    ioc = start(directory, IOCMNG_STOP_TIMEOUT="1")
    ioc.wait_for_line("stuck")
    assert ioc.stop() == 1
    assert ioc.output().splitlines()[-1] == "iocmng: the plugin's code did not end within 1 s"


def test_a_signal_during_initialize(start, tmp_path):
    """A signal that comes during initialize() turns `running` false; cleanup() follows, and no cycle comes between."""
    directory = write_files(tmp_path / "slow_start", {"slow_start.py": SLOW_START})
    ioc = start(directory)
    ioc.wait_for_line("initializing")
    assert ioc.stop() == 0
    assert ioc.output().splitlines()[-2:] == ["initialized", "cleaned"]


def test_a_signal_during_a_job(start, tmp_path):
    """A running job sees `cancelled` turn true, cleans up, and the process ends with status 0."""
    directory = write_files(tmp_path / "long_job", {"long_job.py": LONG_JOB})
    ioc = start(directory).wait_until_serving()
    ioc.put("RUN", 1)
    ioc.wait_value("STATUS", "RUNNING")
    assert ioc.stop() == 0
    assert ioc.output().splitlines()[-2:] == ["cancelled", "cleaned"]


def test_a_task_that_ends_itself(start, tmp_path):
    """`self.running = False` in execute() ends the cycles: cleanup() runs once, STATUS is END, and the PVs stay."""
    directory = write_files(
        tmp_path / "self_ending", {"self_ending.py": SELF_ENDING, "config.yaml": "parameters: {interval: 0.05}\n"}
    )
    ioc = start(directory).wait_until_serving()
    ioc.wait_value("MESSAGE", "done")
    beat = int(ioc.get("HEARTBEAT"))
    wait_for(lambda: int(ioc.get("HEARTBEAT")) > beat, "a heartbeat")
    assert ioc.get("CYCLE_COUNT") == "3"
    assert ioc.get("STATUS") == "END"
    assert ioc.stop() == 0
    assert ioc.output().count("cleaned") == 1
