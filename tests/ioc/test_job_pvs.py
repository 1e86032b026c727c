"""A job as an operator sees it."""

from ioc_process import Ioc, camonitor
from support import wait_for


def test_status_of_a_job(job: Ioc):
    """STATUS has IDLE, RUNNING, SUCCESS, FAILED in this order; only FAILED is an alarm, MAJOR. It begins in IDLE."""
    states = {"ZRST": "IDLE", "ONST": "RUNNING", "TWST": "SUCCESS", "THST": "FAILED", "FRST": ""}
    severities = {"ZRSV": "NO_ALARM", "ONSV": "NO_ALARM", "TWSV": "NO_ALARM", "THSV": "MAJOR"}
    assert job.fields("STATUS", *states, *severities) == states | severities
    assert job.fields("PROGRESS", "EGU", "LOPR", "HOPR") == {"EGU": "%", "LOPR": "0", "HOPR": "100"}


def test_run_with_default_parameters(job: Ioc, tmp_path):
    """Writing 1 to RUN runs once with the parameters of config.yaml; PROGRESS and MESSAGE tell how far it is."""
    moved = int(job.get("MOVED"))
    names = ("STATUS", "PROGRESS", "RUN")
    pvs = [job.pv(name) for name in names]
    with camonitor(tmp_path / "monitor.txt", *pvs) as monitor:
        monitor.wait_connected(*pvs)
        job.put("HOLD", 1)
        job.put("RUN", 1)
        job.wait_value("MESSAGE", "2 of 4")
        assert job.get_all("STATUS", "PROGRESS", "RUN") == ["RUNNING", "50", "IDLE"]
        job.put("HOLD", 0)
        wait_for(lambda: monitor.values(pvs[0])[-1] == "SUCCESS", "SUCCESS")
        seen = dict(zip(names, map(monitor.values, pvs), strict=True))
    assert seen["STATUS"][-2:] == ["RUNNING", "SUCCESS"]
    assert seen["PROGRESS"][-5:] == ["0", "25", "50", "75", "100"]
    assert seen["RUN"] == ["IDLE", "RUN", "IDLE"]
    assert job.get_all("MOVED", "MESSAGE") == [str(moved + 7), "moved by 7 mm"]


def test_run_over_pv_access(job: Ioc, pva):
    """A PVA put to RUN does the same."""
    moved = int(job.get("MOVED"))
    pva.put(job.pv("RUN"), 1, timeout=20)
    job.wait_value("MOVED", str(moved + 7))
    job.wait_value("STATUS", "SUCCESS")


def test_each_run_counts(job: Ioc):
    """Puts to RUN that arrive during a run wait their turn."""
    moved = int(job.get("MOVED"))
    for _ in range(3):
        job.put("RUN", 1)
    job.wait_value("MOVED", str(moved + 21))


def test_a_failing_job(job: Ioc, pva):
    """A job that raises shows FAILED with MAJOR severity and the text in MESSAGE, and can run again."""
    job.put("FAIL", 1)
    job.put("RUN", 1)
    job.wait_value("STATUS", "FAILED")
    assert job.alarm("STATUS") == ("STATE", "MAJOR")
    assert pva.get(job.pv("STATUS"), timeout=20).severity == 2
    assert job.get("MESSAGE") == "RuntimeError: the motor is in its li..."
    assert "RuntimeError: the motor is in its limit switch" in job.output()
    job.put("FAIL", 0)
    job.put("RUN", 1)
    job.wait_value("STATUS", "SUCCESS")
    assert job.alarm("STATUS") == ("NO_ALARM", "NO_ALARM")
