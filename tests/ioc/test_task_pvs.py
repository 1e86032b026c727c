"""The PVs that every continuous task has, and what they show."""

import time

import pytest
from ioc_process import Ioc, camonitor
from support import tool, wait_for

TASK_TYPES = {
    "ENABLE": "bo",
    "STATUS": "mbbi",
    "MESSAGE": "stringin",
    "VERSION": "stringin",
    "CLEAR": "bo",
    "RESET": "bo",
    "HEARTBEAT": "longin",
    "UPTIME": "longin",
}
JOB_TYPES = {"STATUS": "mbbi", "MESSAGE": "stringin", "VERSION": "stringin", "PROGRESS": "longin", "RUN": "bo"}


@pytest.mark.parametrize(
    ("plugin", "built_in", "declared"),
    [
        ("puppet", TASK_TYPES | {"CYCLE_COUNT": "longin"}, None),
        ("reactive", TASK_TYPES | {"CYCLE_COUNT": "longin"}, {"A", "DOUBLE"}),
        ("triggered", TASK_TYPES | {"RUN": "bo"}, {"FAIL", "MISTAKE", "RUNS", "FLOAT", "INT", "ENUM"}),
        ("job", JOB_TYPES, {"FAIL", "HOLD", "MOVED"}),
    ],
)
def test_built_in_pvs(request, plugin, built_in, declared):
    """Each kind has its built-in PVs, of these record types, and no others.

    CYCLE_COUNT is for tasks with cycles, RUN for triggered tasks and jobs. What PV Access lists, and --pvout wrote, is
    the declared PVs and these: nothing that a library brings along.
    """
    ioc = request.getfixturevalue(plugin)
    assert ioc.get_all(*(f"{name}.RTYP" for name in built_in)) == list(built_in.values())
    port = ioc.output().split("PVA port ")[1].split()[0]
    served = set(tool("pvlist", f"127.0.0.1:{port}", timeout=20).stdout.split())
    if declared is not None:
        assert served == {ioc.pv(name) for name in (*built_in, *declared)}
    lines = (ioc.log.parent / "pvs.txt").read_text().splitlines()
    assert set(lines) == served
    assert len(lines) == len(served)


def test_status_of_a_task(puppet: Ioc):
    """STATUS has INIT, RUN, PAUSED, END, ERROR in this order; only ERROR is an alarm, MAJOR."""
    states = {"ZRST": "INIT", "ONST": "RUN", "TWST": "PAUSED", "THST": "END", "FRST": "ERROR", "FVST": ""}
    severities = {"ZRSV": "NO_ALARM", "ONSV": "NO_ALARM", "TWSV": "NO_ALARM", "THSV": "NO_ALARM", "FRSV": "MAJOR"}
    assert puppet.fields("STATUS", *states, *severities) == states | severities


def test_first_look_at_a_task(puppet: Ioc):
    """A running task is enabled, in RUN, without an alarm; VERSION is parameters.version."""
    expected = {"ENABLE": "1", "STATUS": "1", "VERSION": "3.1.4", "CLEAR": "0", "RESET": "0"}
    assert dict(zip(expected, puppet.get_all(*expected, options=["-n"]), strict=True)) == expected
    names = (*TASK_TYPES, "CYCLE_COUNT")
    assert {name: puppet.alarm(name) for name in names} == dict.fromkeys(names, ("NO_ALARM", "NO_ALARM"))


def test_cycles_are_counted_over_both_protocols(puppet: Ioc, pva):
    """CYCLE_COUNT rises, on CA and on PV Access."""
    first = int(puppet.get("CYCLE_COUNT"))
    wait_for(lambda: int(puppet.get("CYCLE_COUNT")) >= first + 3, "three cycles")
    assert pva.get(puppet.pv("CYCLE_COUNT"), timeout=20) >= first + 3


def test_enable_pauses_and_resumes(puppet: Ioc):
    """ENABLE 0: STATUS is PAUSED and CYCLE_COUNT stands still while HEARTBEAT goes on. ENABLE 1: cycles go on."""
    puppet.put("ENABLE", 0)
    puppet.wait_value("STATUS", "PAUSED")
    count, beat = puppet.get_all("CYCLE_COUNT", "HEARTBEAT")
    wait_for(lambda: int(puppet.get("HEARTBEAT")) >= int(beat) + 2, "two heartbeats")
    assert puppet.get("CYCLE_COUNT") == count
    assert puppet.alarm("STATUS") == ("NO_ALARM", "NO_ALARM")
    puppet.put("ENABLE", 1)
    puppet.wait_value("STATUS", "RUN")
    wait_for(lambda: int(puppet.get("CYCLE_COUNT")) > int(count), "cycles go on")


def test_puts_are_taken_while_paused(puppet: Ioc):
    """A paused task still learns of puts."""
    puppet.put("ENABLE", 0)
    puppet.wait_value("STATUS", "PAUSED")
    puppet.put("STRING", "while paused")
    puppet.wait_value("OUT_STRING", "while paused")
    puppet.put("ENABLE", 1)
    puppet.wait_value("STATUS", "RUN")


@pytest.mark.parametrize("name", ["CLEAR", "RESET"])
def test_clear_and_reset_return_to_0(puppet: Ioc, tmp_path, name):
    """Writing 1 to CLEAR or RESET is taken, and the PV shows 0 again."""
    with camonitor(tmp_path / "monitor.txt", puppet.pv(name)) as monitor:
        monitor.wait_connected(puppet.pv(name))
        puppet.put(name, 1)
        wait_for(lambda: monitor.values(puppet.pv(name)) == ["IDLE", name, "IDLE"], f"{name} came and went")


@pytest.mark.parametrize("how", ["sleep", "spin"])
def test_heartbeat_goes_on_while_execute_blocks(puppet: Ioc, how):
    """HEARTBEAT and UPTIME go on while execute() sleeps for seconds, and while it spins in Python."""
    puppet.put("RELEASE", 0)
    puppet.put("COMMAND", how)
    puppet.wait_value("MESSAGE", {"sleep": "sleeping", "spin": "spinning"}[how])
    count, beat, up = map(int, puppet.get_all("CYCLE_COUNT", "HEARTBEAT", "UPTIME"))
    began = time.monotonic()
    wait_for(lambda: int(puppet.get("HEARTBEAT")) >= beat + 2, "two heartbeats")
    now_count, now_up = map(int, puppet.get_all("CYCLE_COUNT", "UPTIME"))
    elapsed = time.monotonic() - began
    assert now_count == count
    assert up + 1 <= now_up <= up + elapsed + 2
    puppet.put("RELEASE", 1)
    wait_for(lambda: int(puppet.get("CYCLE_COUNT")) > count + 1, "cycles go on")


def test_a_failing_cycle_is_shown_and_survived(puppet: Ioc, pva, tmp_path):
    """An exception in execute(): STATUS is ERROR with MAJOR severity and MESSAGE has the text; RUN follows."""
    status, message = puppet.pv("STATUS"), puppet.pv("MESSAGE")
    with camonitor(tmp_path / "monitor.txt", status, message) as monitor:
        monitor.wait_connected(status)
        before = int(puppet.get("CYCLE_COUNT"))
        puppet.put("COMMAND", "refuse")
        wait_for(lambda: monitor.values(status) == ["RUN", "ERROR STATE MAJOR", "RUN"], "ERROR and RUN again")
        assert "RuntimeError: the interlock of the s..." in monitor.values(message)
    puppet.wait_value("MESSAGE", "")
    assert puppet.alarm("STATUS") == ("NO_ALARM", "NO_ALARM")
    assert int(puppet.get("CYCLE_COUNT")) > before
    assert "RuntimeError: the interlock of the second vacuum section is open" in puppet.output()


def test_a_long_message_ends_with_a_mark(puppet: Ioc, pva):
    """MESSAGE never stops in the middle without saying so."""
    puppet.put("COMMAND", "talk")
    puppet.wait_value("MESSAGE", "The beam was lost and came back: all...")
    assert len(pva.get(puppet.pv("MESSAGE"), timeout=20)) == 39
    puppet.put("COMMAND", "talk_briefly")
    puppet.wait_value("MESSAGE", "all is well")
