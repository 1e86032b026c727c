"""Triggered and reactive tasks."""

from ioc_process import Ioc, camonitor
from support import wait_for


def run_and_watch(triggered: Ioc, tmp_path, last: str) -> tuple[list[str], list[str]]:
    """Write 1 to RUN; return what STATUS and RUN show until STATUS shows `last` after the run."""
    status, run = triggered.pv("STATUS"), triggered.pv("RUN")
    with camonitor(tmp_path / "monitor.txt", status, run) as monitor:
        monitor.wait_connected(status, run)
        triggered.put("RUN", 1)
        wait_for(lambda: "RUN" in monitor.values(status) and monitor.values(status)[-1] == last, f"STATUS is {last}")
        return monitor.values(status), monitor.values(run)


def test_run_over_channel_access(triggered: Ioc, tmp_path):
    """Writing 1 to RUN runs execute() once. STATUS shows INIT, RUN, END and INIT, however short the run is."""
    triggered.wait_value("STATUS", "INIT")
    runs = int(triggered.get("RUNS"))
    states, flags = run_and_watch(triggered, tmp_path, "INIT")
    assert states == ["INIT", "RUN", "END", "INIT"]
    assert flags == ["IDLE", "RUN", "IDLE"]
    assert triggered.get_all("RUNS", "MESSAGE") == [str(runs + 1), "shot taken"]


def test_run_over_pv_access(triggered: Ioc, pva):
    """A PVA put to RUN does the same, also while the end of the last run is still shown."""
    runs = int(triggered.get("RUNS"))
    for more in (1, 2):
        pva.put(triggered.pv("RUN"), 1, timeout=20)
        triggered.wait_value("RUNS", str(runs + more))
    assert triggered.get("RUN") == "IDLE"


def test_a_failing_run(triggered: Ioc, tmp_path):
    """A run that raises shows ERROR with MAJOR severity and the text in MESSAGE, then the task waits again in INIT."""
    triggered.put("FAIL", 1)
    states, flags = run_and_watch(triggered, tmp_path, "ERROR STATE MAJOR")
    assert states[-2:] == ["RUN", "ERROR STATE MAJOR"]
    assert flags == ["IDLE", "RUN", "IDLE"]
    assert triggered.get("MESSAGE") == "RuntimeError: the detector did not a..."
    assert "RuntimeError: the detector did not answer" in triggered.output()
    triggered.put("FAIL", 0)
    triggered.wait_value("STATUS", "INIT")


def test_zero_is_no_trigger(triggered: Ioc):
    """Writing 0 to RUN runs nothing."""
    runs = triggered.get("RUNS")
    triggered.put("RUN", 0)
    triggered.put("ENABLE", 0)  # taken after RUN, because puts are taken in their order
    triggered.wait_value("STATUS", "PAUSED")
    assert triggered.get("RUNS") == runs
    triggered.put("ENABLE", 1)
    triggered.wait_value("STATUS", "INIT")


def test_run_is_ignored_while_paused(triggered: Ioc):
    """RUN of a paused task is taken, runs nothing, and MESSAGE says what to do."""
    runs = triggered.get("RUNS")
    triggered.put("ENABLE", 0)
    triggered.wait_value("STATUS", "PAUSED")
    triggered.put("RUN", 1)
    wait_for(lambda: triggered.get("MESSAGE").startswith("RUN was ignored"), "RUN was ignored")
    assert triggered.get_all("RUN", "RUNS", "STATUS") == ["IDLE", runs, "PAUSED"]
    triggered.put("ENABLE", 1)
    triggered.wait_value("STATUS", "INIT")


def test_version_without_one(triggered: Ioc):
    """Without parameters.version and without a commit VERSION still says something."""
    assert triggered.get("VERSION") == "local"


def test_a_put_runs_a_reactive_task(reactive: Ioc, pva):
    """Each put is followed by one cycle at once, though the interval is an hour."""
    for number, put in enumerate((lambda: reactive.put("A", 21), lambda: pva.put(reactive.pv("A"), 4.0, timeout=20))):
        count = int(reactive.get("CYCLE_COUNT"))
        put()
        reactive.wait_value("DOUBLE", ("42", "8")[number])
        reactive.wait_value("CYCLE_COUNT", str(count + 1))
