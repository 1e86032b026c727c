"""A plugin whose process ends or hangs comes back by itself: the supervisor at work on real processes."""

import time
from datetime import datetime

import pytest
from faults import Monitor, asked, events, iocs_of, kill, lives, served_again, tell
from support import MINIMAL_TASK, caget, caput, is_gone, wait_for

pytestmark = pytest.mark.thorough

FRAGILE = """\
import ctypes, os, time
from pathlib import Path
from iocmng import TaskBase


class Fragile(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        if Path(self.parameters.get("crash", "/no/such/file")).exists():
            os._exit(7)
        what = self.get_pv("DO")
        if what == "segfault":
            ctypes.string_at(0)
        while self.get_pv("DO") == "hang":
            time.sleep(0.05)
        if what == "hold the GIL":
            ctypes.PyDLL(None).sleep(3600)

    def cleanup(self):
        pass
"""

CONFIG = """\
{watchdog}
parameters: {{interval: 0.1}}
pvs:
  inputs:
    DO: {{type: string, autosave: false}}
    SETPOINT: {{type: float, value: 1.5}}
"""


def add(server, name, watchdog="", **parameters):
    """Add the fragile task; return its process id."""
    files = {"fragile.py": FRAGILE, "config.yaml": CONFIG.format(watchdog=watchdog)}
    answer = server.add(name, files, parameters=parameters)
    assert answer.status_code == 201, answer.text
    return server.get(name)["pid"]


@pytest.fixture
def neighbour(server):
    """Another plugin that must not notice anything: same process, PVs without a gap."""
    assert server.add("neighbour", {"m.py": MINIMAL_TASK}).status_code == 201
    pid = server.get("neighbour")["pid"]
    with Monitor("TST:NEIGHBOUR:HEARTBEAT") as monitor:
        yield
        assert "isconnected" not in monitor.end()
    assert server.get("neighbour")["pid"] == pid


def test_a_killed_process_is_replaced_with_its_setpoints(server, neighbour, capsys):
    """Kill -9: the same PVs with the operators' values within seconds; REST and the events say what happened."""
    pid = add(server, "fragile")
    caput("TST:FRAGILE:SETPOINT", 7.25)
    saved = server.plugins_dir / ".iocmng" / "values" / "fragile"
    wait_for(lambda: any("7.25" in file.read_text() for file in saved.glob("*.softsav")), "the setpoint is saved")
    seconds = served_again_after_kill(server, pid)
    tell(capsys, f"PVs again {seconds:.2f} s after kill -9 of a plugin")
    assert caget("TST:FRAGILE:SETPOINT") == "7.25"
    plugin = wait_for(lambda: is_running(server), "running again")
    assert (plugin["restarts"], plugin["crashes"], plugin["generation"]) == (1, 1, 1)
    assert "killed" in plugin["last_exit"]
    assert plugin["message"] == ""
    told = events(server, "fragile")
    crashed = next(event for event in told if event["status"] == "crashed")
    assert "killed" in crashed["reason"]
    assert [event["status"] for event in told][-1] == "running"


def served_again_after_kill(server, pid):
    """Kill -9 the fragile plugin; return the seconds until its PVs answer again."""
    since = kill(pid)
    wait_for(lambda: server.get("fragile")["pid"] not in (pid, None), "another process", every=0.01)
    return served_again("TST:FRAGILE:SETPOINT", since)


def is_running(server, name="fragile"):
    """Return the plugin if it is running."""
    plugin = server.get(name)
    return plugin if plugin["status"] == "running" else None


def test_a_fatal_signal_names_the_line_of_the_author(server):
    """A segmentation fault in execute(): last_exit says so, with file, function and line."""
    pid = add(server, "fragile")
    caput("TST:FRAGILE:DO", "segfault")
    plugin = wait_for(lambda: server.get("fragile")["pid"] not in (pid, None) and is_running(server), "replaced")
    line = next(number for number, text in enumerate(FRAGILE.splitlines(), 1) if "string_at" in text)
    assert "segmentation fault" in plugin["last_exit"]
    assert f"in execute (fragile.py, line {line})" in plugin["last_exit"]


def test_a_crash_loop_waits_longer_each_time_until_a_stable_time_forgives(server, neighbour, tmp_path):
    """Waits of 0, 0.5, 1, 2 s: status, reason, count and time of the next try are shown; 3 s of service forget it."""
    crash = tmp_path / "crash"
    add(server, "fragile", crash=str(crash))
    crash.touch()
    seen = {}

    def fourth():
        plugin = server.get("fragile")
        if plugin["status"] == "crashed":
            seen[plugin["crashes"]] = plugin
        return 4 in seen

    wait_for(fourth, "the fourth end in a row", 60, every=0.02)
    crash.unlink()
    told = [event for event in events(server, "fragile") if event["status"] == "crashed"]
    waits = [seconds_between(told[count - 1]["time"], seen[count]["next_try"]) for count in (2, 3, 4)]
    assert waits == sorted(waits), waits
    for wait, nominal in zip(waits, (0.5, 1, 2), strict=True):
        assert 0.7 * nominal < wait < 1.3 * nominal, waits  # 0.2 of it is chance
    plugin = seen[4]
    assert "called exit" in plugin["last_exit"]
    assert "4 times in a row" in plugin["message"]
    assert plugin["next_try"] in plugin["message"]
    assert "/plugins/fragile/restart" in plugin["message"]
    assert (plugin["running"], plugin["pid"], plugin["built_pvs"]) == (False, None, [])
    wait_for(lambda: is_running(server), "running again without anybody's help")
    assert caget("TST:FRAGILE:STATUS") == "RUN"
    wait_for(lambda: server.get("fragile")["crashes"] == 0, "the ends are forgotten")
    assert "called exit" in server.get("fragile")["last_exit"]


def seconds_between(one, other):
    """Return the seconds from one ISO 8601 time to another."""
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


def test_a_hang_is_marked_and_passes(server, neighbour):
    """`watchdog: 1`: STATUS is ERROR, REST says hung and what hangs; when execute() returns, all is well again."""
    pid = add(server, "fragile", "watchdog: 1")
    caput("TST:FRAGILE:DO", "hang")
    plugin = wait_for(lambda: (one := server.get("fragile"))["hung"] and one, "marked")
    assert (plugin["status"], plugin["state"]) == ("error", "ERROR")
    assert "execute() has not returned" in plugin["message"]
    assert caget("TST:FRAGILE:STATUS") == "ERROR"
    assert caget("TST:FRAGILE:SETPOINT") == "1.5"
    assert any("time.sleep(0.05)" in line for line in server.http.get("/plugins/fragile/logs").json()["lines"])
    caput("TST:FRAGILE:DO", "work")
    plugin = wait_for(lambda: is_running(server), "it has returned")
    assert (plugin["hung"], plugin["pid"], plugin["restarts"]) == (False, pid, 0)


def test_a_hang_is_replaced_where_its_watchdog_says_so(server, neighbour):
    """`watchdog: {seconds: 1, restart: true}`: the process is killed and the plugin comes back."""
    pid = add(server, "fragile", "watchdog: {seconds: 1, restart: true}")
    caput("TST:FRAGILE:DO", "hang")
    wait_for(lambda: not lives(pid), "killed by its watchdog")
    wait_for(lambda: is_running(server), "running again")
    plugin = server.get("fragile")
    assert plugin["pid"] != pid
    assert "watchdog" in plugin["last_exit"]
    assert "execute() has not returned" in plugin["last_exit"]
    assert len(iocs_of("TST:FRAGILE:STATUS")) == 1


def test_a_process_that_holds_the_gil_is_marked_and_can_be_ended(server, neighbour):
    """Nothing in the process can tell of it, so the Controller does; restart kills it and starts a fresh one."""
    pid = add(server, "fragile", "watchdog: 1")
    caput("TST:FRAGILE:DO", "hold the GIL")
    plugin = wait_for(lambda: (one := server.get("fragile"))["hung"] and one, "marked")
    assert plugin["status"] == "error"
    assert "does not answer" in plugin["message"]
    assert "restart" in plugin["message"]
    assert lives(pid)
    assert server.http.post("/plugins/fragile/restart").status_code == 200
    assert not lives(pid)
    plugin = server.get("fragile")
    assert (plugin["status"], plugin["hung"], plugin["generation"]) == ("running", False, 2)


def test_a_process_that_holds_the_gil_is_replaced_where_its_watchdog_says_so(server, neighbour):
    """The Controller kills it, and the plugin comes back."""
    pid = add(server, "fragile", "watchdog: {seconds: 1, restart: true}")
    caput("TST:FRAGILE:DO", "hold the GIL")
    wait_for(lambda: not lives(pid), "killed by its watchdog")
    wait_for(lambda: is_running(server), "running again")
    assert "did not answer" in server.get("fragile")["last_exit"]


def test_an_add_whose_initialize_hangs_is_refused(server):
    """422 for the step initialize at the limit; no plugin, no PV and no process of it is left."""
    hanging = MINIMAL_TASK.replace("pass", "__import__('time').sleep(3600)", 1)
    before = set(server.plugin_processes())
    answer = server.add("hanging", {"m.py": hanging})
    assert answer.status_code == 422, answer.text
    assert [error["step"] for error in answer.json()["validation"]["errors"]] == ["initialize"]
    assert "within" in answer.json()["detail"]
    assert asked(server, "/plugins/hanging") == 404
    assert is_gone("TST:HANGING:STATUS")
    wait_for(lambda: len(set(server.plugin_processes()) - before) <= 1, "only the next warm process is new")


def test_a_cleanup_that_hangs_does_not_hold_up_a_remove(server):
    """DELETE answers once the process is killed, at the stop limit of 3 s; PVs and process are gone."""
    hanging = MINIMAL_TASK.replace("def cleanup(self):\n        pass", "def cleanup(self):\n        import time\n"
    "        time.sleep(3600)")  # fmt: skip
    assert server.add("hanging", {"m.py": hanging}).status_code == 201
    pid = server.get("hanging")["pid"]
    began = time.monotonic()
    assert server.http.delete("/plugins/hanging").status_code == 200
    assert time.monotonic() - began < 20
    assert not lives(pid)
    assert is_gone("TST:HANGING:STATUS")
