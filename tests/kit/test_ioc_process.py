"""A plugin as a real IOC, for authors' tests."""

import os
from pathlib import Path

import pytest
from support import write_files

from iocmng.errors import TimedOut
from iocmng.testing import IocProcess

pytestmark = pytest.mark.thorough

EXAMPLES = Path(__file__).parents[2] / "examples"
MIRROR = Path(__file__).with_name("plugins") / "mirror"


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_serves_and_ends(ioc):
    """PVs are read, written and waited for; stop() ends the process in good order and its PVs are gone."""
    monitor = ioc(EXAMPLES / "my_monitor", parameters={"interval": 0.1})
    assert monitor.wait_for("STATUS", "RUN").value == 1
    assert monitor.wait_for("CYCLE_COUNT", lambda count: count > 3).severity == "NO_ALARM"
    monitor.put("ENABLE", False)
    monitor.wait_for("STATUS", "PAUSED")
    assert (monitor.get("ENABLE"), monitor.read("ENABLE").text) == (False, "DISABLED")
    assert "Starting monitor" in monitor.output
    assert monitor.stop() == 0
    with pytest.raises(TimedOut):
        monitor.get("STATUS", timeout=0.5)


def test_two_of_the_same_do_not_meet(ioc):
    """Each has a prefix and ports of its own."""
    one, other = ioc(MIRROR), ioc(MIRROR)
    one.put("FLOAT_IN", 1)
    other.put("FLOAT_IN", 2)
    one.wait_for("FLOAT_OUT", 1)
    other.wait_for("FLOAT_OUT", 2)
    assert one.prefix != other.prefix


def test_a_job_is_run_by_its_pv(ioc):
    """RUN starts it and STATUS shows how it ends; which PVs there are depends on the kind."""
    job = ioc(EXAMPLES / "beam_statistics", parameters={"samples": 3})
    job.put("RUN", 1)
    job.wait_for("STATUS", "SUCCESS")
    assert (job.get("MESSAGE"), job.get("PROGRESS")) == ("3 samples", 100)


def test_a_plugin_that_is_rejected_is_told(ioc, tmp_path):
    """The error has what the process has said."""
    with pytest.raises(AssertionError, match=r"the IOC ended with 1:[\s\S]*no plugin class"):
        ioc(write_files(tmp_path / "empty", {"p.py": "class X:\n    pass\n"}))


def test_what_does_not_come_is_told_with_the_last_value(ioc):
    """wait_for() says what was wanted, what there is, and what the IOC has said."""
    mirror = ioc(MIRROR)
    with pytest.raises(AssertionError, match=r"WRITES did not become 7 within 0.2 s; it is \('0', 'NO_ALARM'\)"):
        mirror.wait_for("WRITES", 7, timeout=0.2)


def test_an_ioc_that_ends_is_not_waited_for(ioc, tmp_path):
    """A plugin whose initialize() raises has served its PVs for a moment; wait_for() tells that it is gone, and why."""
    source = """\
        from iocmng import TaskBase

        class Broken(TaskBase):
            def initialize(self): raise OSError("no such port")
            def execute(self): pass
            def cleanup(self): pass
        """
    broken = ioc(write_files(tmp_path / "broken", {"p.py": source}))
    with pytest.raises(AssertionError, match=r"before the IOC ended with 1; [\s\S]*no such port"):
        broken.wait_for("STATUS", "RUN", timeout=60)


def test_an_ioc_that_will_not_end_is_killed(tmp_path, monkeypatch):
    """close() ends it whatever it does."""
    monkeypatch.setattr("iocmng.testing.ioc.STOP_TIMEOUT", 0.5)
    source = """\
        import time
        from iocmng import TaskBase

        class Stubborn(TaskBase):
            def initialize(self): pass
            def execute(self): time.sleep(3600)
            def cleanup(self): pass
        """
    process = IocProcess(write_files(tmp_path / "stubborn", {"p.py": source}), tmp_path, name="stubborn")
    pid = process._process.pid
    assert is_alive(pid)
    process.close()
    assert not is_alive(pid)
