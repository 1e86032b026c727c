"""Operators' values outlive the process: kill -9, SIGTERM, a reload, a bad file, a bad disk."""

import threading

import pytest
from ioc_process import Ioc, camonitor
from support import wait_for, write_files

CONFIG = """\
parameters: {interval: 0.1}
pvs:
  inputs:
    FLOAT: {type: float, value: 1.5, prec: 2}
    INT: {type: int, value: -3}
    BOOL: {type: bool}
    STRING: {type: string, value: first words}
    ENUM: {type: enum, states: [A, B, C]}
    HOT: {type: float, value: 1, alarms: {hihi: 8}}
    DRIVEN: {type: float, value: 1, drive_low: -10, drive_high: 10}
    BY_INIT: {type: float}
    NOT_SAVED: {type: float, value: 1, autosave: false}
  outputs:
    COUNTER: {type: int, autosave: true}
    OUT_HOT: {type: float, value: 1, autosave: true, alarms: {hihi: 8}}
    SEEN: {type: string}
    WRITES: {type: int}
    CYCLES: {type: int}
"""

PLUGIN = """\
from pathlib import Path
from iocmng import TaskBase

class Keeper(TaskBase):
    def __init__(self):
        self.writes = 0
        self.set_pv("BY_INIT", 2.5)
        gate = Path(__file__).with_name("gate")
        if gate.exists():
            print("built", flush=True)
        while gate.exists():
            pass

    def initialize(self):
        self.set_pv("SEEN", f"{self.get_pv('FLOAT')} {self.get_pv('ENUM')} {self.get_pv('COUNTER')}")

    def execute(self):
        self.set_pv("CYCLES", self.cycle_count)

    def cleanup(self):
        pass

    def on_write(self, pv_name, value):
        self.writes += 1
        self.set_pv("WRITES", self.writes)
        if pv_name == "INT":
            self.set_pv("COUNTER", value + 1000)
        if pv_name == "HOT":
            self.set_pv("OUT_HOT", value)
"""

PUTS = {"FLOAT": 2.25, "INT": 42, "BOOL": 1, "STRING": "their words", "ENUM": "C", "HOT": 9, "DRIVEN": 7, "BY_INIT": 4}
VALUES = {name: str(value) for name, value in PUTS.items()} | {"COUNTER": "1042", "OUT_HOT": "9"}
SHOWN = VALUES | {"BOOL": "On", "HOT": "9 HIHI MAJOR", "OUT_HOT": "9 HIHI MAJOR"}


@pytest.fixture
def directory(tmp_path):
    """Return the directory of the plugin."""
    return write_files(tmp_path / "keeper", {"config.yaml": CONFIG, "keeper.py": PLUGIN})


def put_all(ioc: Ioc) -> None:
    """Put the values and wait until the plugin has had them all."""
    ioc.wait_value("STATUS", "RUN")
    for name, value in PUTS.items():
        ioc.put(name, value)
    ioc.wait_value("WRITES", str(len(PUTS)))


def values_file(ioc: Ioc, name: str = "keeper"):
    """Return the file with the saved values."""
    return ioc.log.parent.joinpath("state", "run-values", *ioc.prefix.split(":"), f"{name}.softsav")


def wait_saved(ioc: Ioc, line: str) -> None:
    """Return when the file has a line."""
    file = values_file(ioc)
    wait_for(lambda: file.is_file() and line in file.read_text().splitlines(), f"{line!r} in {file}")


def test_values_outlive_a_kill(start, directory, tmp_path, pva):
    """After kill -9 a new process serves the saved values; no client sees another one, and their alarms are right.

    The plugin finds them in initialize(). on_write() is not called for them. What is not to be saved is as in
    config.yaml, and the values win over what `__init__` sets.
    """
    old = start(directory)
    put_all(old.wait_until_serving())
    old.put("NOT_SAVED", 5)
    wait_saved(old, "COUNTER: 1042")
    wait_saved(old, "BY_INIT: 4.0")
    old.kill()
    lock, told = threading.Lock(), {name: [] for name in VALUES}

    def note(name):
        def tell(value):
            with lock:
                plain = value.raw.value
                told[name].append((str(plain.index if hasattr(plain, "choices") else plain), value.severity))

        return tell

    subscriptions = [pva.monitor(old.pv(name), note(name)) for name in VALUES]
    pvs = [old.pv(name) for name in VALUES]
    with camonitor(tmp_path / "monitor.txt", *pvs) as monitor:
        new = start(directory, after=old).wait_until_serving()
        monitor.wait_connected(*pvs)
        wait_for(lambda: all(told.values()), "PV Access has all values")
        new.wait_value("STATUS", "RUN")
        assert int(new.get("CYCLES")) >= 0
        seen = {name: [" ".join(line.split()) for line in monitor.values(new.pv(name))] for name in VALUES}
    for subscription in subscriptions:
        subscription.close()
    assert seen == {name: [value] for name, value in SHOWN.items()}
    assert {name: values for name, values in told.items() if name in ("INT", "ENUM", "STRING", "OUT_HOT")} == {
        "INT": [("42", 0)],
        "ENUM": [("2", 0)],
        "STRING": [("their words", 0)],
        "OUT_HOT": [("9.0", 2)],
    }
    assert {len(values) for values in told.values()} == {1}
    assert new.get_all("SEEN", "WRITES", "NOT_SAVED") == ["2.25 2 1042", "0", "1"]
    assert "restored from" in new.output()


@pytest.mark.thorough
def test_a_put_just_before_the_end_is_saved(start, directory):
    """SIGTERM: cleanup(), then the values, then status 0 at once; nothing is lost between two looks at the values."""
    old = start(directory).wait_until_serving()
    old.wait_value("STATUS", "RUN")
    old.put("FLOAT", 7.25, "-c")
    assert old.stop() == 0
    new = start(directory, after=old).wait_until_serving()
    assert new.get("FLOAT") == "7.25"
    assert new.stop() == 0


@pytest.mark.thorough
def test_puts_during_a_reload_are_kept(start, directory):
    """The new process is built while the old one serves; what is put meanwhile is in the new one."""
    old = start(directory).wait_until_serving()
    old.put("FLOAT", 2)
    wait_saved(old, "FLOAT: 2.0")
    (directory / "gate").touch()
    new = start(directory, after=old)
    new.wait_for_line("built")
    old.put("FLOAT", 3)
    assert old.stop() == 0
    (directory / "gate").unlink()
    assert new.wait_until_serving().get("FLOAT") == "3"
    new.wait_value("SEEN", "3.0 0 0")


@pytest.mark.thorough
def test_a_pause_outlives_the_process(start, directory):
    """ENABLE=0 stays: initialize() runs, STATUS is PAUSED, and no cycle runs until ENABLE is 1 again."""
    old = start(directory).wait_until_serving()
    old.put("ENABLE", 0)
    old.wait_value("STATUS", "PAUSED")
    wait_saved(old, "ENABLE: false")
    old.kill()
    new = start(directory, after=old).wait_until_serving()
    new.wait_value("STATUS", "PAUSED")
    new.wait_value("SEEN", "1.5 0 0")
    beat = int(new.get("HEARTBEAT"))
    wait_for(lambda: int(new.get("HEARTBEAT")) > beat, "a heartbeat")
    assert new.get_all("ENABLE", "CYCLES", "STATUS") == ["DISABLED", "0", "PAUSED"]
    new.put("ENABLE", 1)
    new.wait_value("STATUS", "RUN")
    wait_for(lambda: int(new.get("CYCLES")) > 0, "a cycle")


@pytest.mark.thorough
def test_a_damaged_file_is_set_aside(start, directory):
    """The plugin starts with its initial values and says so; the file is kept under another name."""
    old = start(directory).wait_until_serving()
    old.wait_value("STATUS", "RUN")
    assert old.stop() == 0
    file = values_file(old)
    file.write_text("FLOAT: [2.0")
    new = start(directory, after=old).wait_until_serving()
    new.wait_value("STATUS", "RUN")
    assert new.get("FLOAT") == "1.5"
    assert f"cannot read the saved PV values in {file}" in new.output()
    assert file.with_name("keeper.softsav.damaged").read_text() == "FLOAT: [2.0"


@pytest.mark.thorough
def test_a_value_that_fits_no_longer_is_passed_over(start, directory):
    """A warning names it, drive limits hold, and the others are restored."""
    old = start(directory)
    file = values_file(old)
    write_files(
        file.parent,
        {file.name: "GONE: 1\nENUM: D\nBOOL: 2.5\nINT: 4294967296\nDRIVEN: 15.0\nSTRING: kept\nHOT: .nan\n"},
    )
    old.wait_until_serving()
    old.wait_value("STATUS", "RUN")
    assert old.get_all("ENUM", "BOOL", "INT", "DRIVEN", "STRING") == ["A", "Off", "-3", "10", "kept"]
    assert old.alarm("DRIVEN") == ("NO_ALARM", "NO_ALARM")
    assert old.alarm("HOT")[1] == "INVALID"
    for name in ("GONE", "ENUM", "BOOL", "INT", "DRIVEN"):
        assert f"WARNING {name} was saved as " in old.output()


@pytest.mark.thorough
def test_without_a_place_for_the_file_the_plugin_runs(start, directory, tmp_path):
    """As in a pod of its own without a writable directory: one warning, and everything else works."""
    (tmp_path / "no-directory").touch()
    ioc = start(directory, IOCMNG_STATE_DIR=str(tmp_path / "no-directory" / "state")).wait_until_serving()
    ioc.put("FLOAT", 2)
    ioc.wait_value("FLOAT", "2")
    assert ioc.output().count("PV values will not outlive this process") == 1
    assert ioc.stop() == 0


JOB = """\
from iocmng import JobBase

class Mover(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return self.get_pv("TARGET")
"""


@pytest.mark.thorough
def test_inputs_of_a_job_are_saved(start, tmp_path):
    """A job has no cycles and no HEARTBEAT; its inputs outlive a kill all the same."""
    config = "pvs: {inputs: {TARGET: {type: float}}}"
    directory = write_files(tmp_path / "mover", {"config.yaml": config, "mover.py": JOB})
    old = start(directory).wait_until_serving()
    old.put("TARGET", 4.5)
    file = values_file(old, "mover")
    wait_for(lambda: file.is_file() and file.read_text() == "TARGET: 4.5\n", "the value is saved")
    old.kill()
    new = start(directory, after=old).wait_until_serving()
    assert new.get_all("TARGET", "STATUS") == ["4.5", "IDLE"]
    assert new.stop() == 0


@pytest.mark.thorough
def test_each_name_and_prefix_has_its_own_values(start, directory):
    """A second IOC of the same plugin under another prefix, for a test say, neither reads nor writes them."""
    first = start(directory).wait_until_serving()
    first.put("FLOAT", 2)
    wait_saved(first, "FLOAT: 2.0")
    second = start(directory).wait_until_serving()
    assert second.get("FLOAT") == "1.5"
    second.put("FLOAT", 3)
    wait_saved(second, "FLOAT: 3.0")
    assert "FLOAT: 2.0" in values_file(first).read_text()
