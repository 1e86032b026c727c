"""Start, stop, pause, crash, end: what a plugin does after it was added."""

from pathlib import Path

from support import MINIMAL_TASK, caget, caput, is_gone, wait_for

COUNTING = """\
import os, time
from iocmng import TaskBase


class Counting(TaskBase):
    def initialize(self):
        self.logger.info("initialize")
        self.set_pv("VALUE", 1)

    def execute(self):
        what = self.get_pv("DO")
        if what == "raise":
            raise RuntimeError("the sensor does not answer on any of its three addresses")
        if what == "exit":
            os._exit(7)
        if what == "sleep":
            time.sleep(3600)

    def cleanup(self):
        self.logger.info("cleanup")
        with open(self.parameters["trace"], "a") as trace:
            trace.write("cleanup\\n")
        if self.get_pv("DO") == "hang at the end":
            time.sleep(3600)
"""

CONFIG = """\
parameters: {interval: 0.1}
pvs:
  inputs: {DO: {type: string}}
  outputs: {VALUE: {type: int}}
"""


def add(server, tmp_path, name="life", **body):
    """Add the counting task; return the file into which its cleanup() writes."""
    trace = tmp_path / "trace"
    files = {"counting.py": COUNTING, "config.yaml": CONFIG}
    answer = server.add(name, files, parameters={"trace": str(trace)}, **body)
    assert answer.status_code == 201, answer.text
    return trace


def test_auto_start_false_waits_for_start(server, tmp_path):
    """The IOC is up in INIT and no cycle runs until start; initialize() runs at start."""
    add(server, tmp_path, auto_start=False)
    plugin = server.get("life")
    assert (plugin["status"], plugin["running"], plugin["state"]) == ("loaded", False, "INIT")
    assert caget("TST:LIFE:STATUS") == "INIT"
    assert caget("TST:LIFE:VALUE") == "0"
    answer = server.http.post("/tasks/life/start")
    assert answer.json()["plugin"]["status"] == "running"
    wait_for(lambda: int(caget("TST:LIFE:CYCLE_COUNT")) > 0, "cycles")


def test_stop_runs_cleanup_and_keeps_the_pvs(server, tmp_path):
    """stop: cleanup() runs, STATUS is END, the PVs stay; start begins anew."""
    trace = add(server, tmp_path)
    plugin = server.http.post("/tasks/life/stop").json()["plugin"]
    assert (plugin["status"], plugin["running"]) == ("stopped", False)
    assert trace.read_text() == "cleanup\n"
    assert caget("TST:LIFE:STATUS") == "END"
    assert server.http.post("/plugins/life/start").json()["plugin"]["status"] == "running"
    assert server.http.get("/plugins/life/logs?tail=1").json()["lines"][0].endswith("initialize")


def test_a_failing_cycle_is_told_whole_by_rest_and_marked_in_message(server, tmp_path):
    """STATUS is ERROR, REST has the full text, MESSAGE a cut one with its mark; the next good cycle gives RUN."""
    add(server, tmp_path)
    caput("TST:LIFE:DO", "raise")
    wait_for(lambda: server.get("life")["status"] == "error", "error")
    plugin = server.get("life")
    assert plugin["message"] == "RuntimeError: the sensor does not answer on any of its three addresses"
    assert plugin["running"] is True
    assert caget("TST:LIFE:MESSAGE").endswith("...")
    assert caget("TST:LIFE:STATUS.SEVR") == "MAJOR"
    assert any("Traceback" in line for line in server.http.get("/tasks/life/logs").json()["lines"])
    caput("TST:LIFE:DO", "work")
    wait_for(lambda: server.get("life")["status"] == "running", "recovered")


def test_a_process_that_ends_by_itself_is_told_and_comes_back(server, tmp_path):
    """os._exit in a cycle: the same PVs in a new process, how the old one ended is told, neighbours never notice."""
    add(server, tmp_path)
    server.add("neighbour", {"m.py": MINIMAL_TASK})
    pid, other = server.get("life")["pid"], server.get("neighbour")["pid"]
    caput("TST:LIFE:DO", "exit")
    wait_for(lambda: server.get("life")["pid"] not in (pid, None), "another process")
    # What it was told to do is a saved value, so it ends again and again until somebody says otherwise.
    wait_for(lambda: caput("TST:LIFE:DO", "work") and server.get("life")["status"] == "running", "it runs")
    plugin = server.get("life")
    assert plugin["restarts"] >= 1
    assert "called exit" in plugin["last_exit"]
    assert caget("TST:LIFE:VALUE") == "1"
    assert server.get("neighbour")["pid"] == other


def test_remove_of_a_task_that_hangs_kills_it(server, tmp_path):
    """A task stuck in execute() is removed within the stop limit, and its process is gone."""
    add(server, tmp_path)
    caput("TST:LIFE:DO", "sleep")
    counts = [""]
    wait_for(lambda: counts.append(caget("TST:LIFE:CYCLE_COUNT")) or counts[-1] == counts[-2], "stuck", every=0.3)
    pid = server.get("life")["pid"]
    assert server.http.delete("/tasks/life").status_code == 200
    assert not Path(f"/proc/{pid}").exists()
    assert is_gone("TST:LIFE:VALUE")


def test_stop_of_a_task_that_hangs_is_a_time_out(server, tmp_path):
    """A stop that execute() holds up answers 504 and says what to do; restart gives a fresh process."""
    add(server, tmp_path)
    caput("TST:LIFE:DO", "sleep")
    counts = [""]
    wait_for(lambda: counts.append(caget("TST:LIFE:CYCLE_COUNT")) or counts[-1] == counts[-2], "stuck", every=0.3)
    answer = server.http.post("/tasks/life/stop")
    assert answer.status_code == 504, answer.text
    assert "restart or remove" in answer.json()["detail"]
    pid = server.get("life")["pid"]
    assert server.http.post("/tasks/life/restart").status_code == 200
    assert server.get("life")["status"] == "loaded"  # stopped, as somebody wanted
    assert not Path(f"/proc/{pid}").exists()
    assert server.http.post("/tasks/life/start").json()["plugin"]["status"] == "running"


def test_remove_runs_cleanup_first(server, tmp_path):
    """DELETE answers after cleanup(); one that hangs is cut off at the limit."""
    trace = add(server, tmp_path)
    assert server.http.delete("/plugins/life").status_code == 200
    assert trace.read_text() == "cleanup\n"
    trace = add(server, tmp_path, name="stuck")
    caput("TST:STUCK:DO", "hang at the end")
    assert server.http.delete("/plugins/stuck").status_code == 200
    assert is_gone("TST:STUCK:VALUE")


def test_remove_while_it_is_loading(server):
    """A plugin that hangs in initialize() can be removed at once; the waiting add answers 409, nothing stays."""
    hang = MINIMAL_TASK.replace("pass", "__import__('time').sleep(3600)", 1)
    server.repository("hang", {"m.py": hang})
    body = {"name": "hang", "git_url": str(server.repositories / "hang")}
    assert server.http.post("/tasks?wait=false", json=body).status_code == 202
    wait_for(lambda: is_gone("TST:HANG:STATUS") is False, "its IOC is up, initialize() hangs")
    assert server.http.delete("/tasks/hang").status_code == 200
    assert server.names() == set()
    assert is_gone("TST:HANG:STATUS")


def test_list_of_pvs_names_host_and_ports(server):
    """GET /pvs lists every record with its plugin, type and the ports at which it answers."""
    server.add("one", {"m.py": MINIMAL_TASK, "config.yaml": "pvs: {inputs: {SETPOINT: {type: float}}}"})
    pvs = {pv["name"]: pv for pv in server.http.get("/pvs").json()["pvs"]}
    setpoint = pvs["TST:ONE:SETPOINT"]
    assert (setpoint["plugin"], setpoint["type"], setpoint["direction"]) == ("one", "ao", "input")
    assert setpoint["ca_port"] > 0
    assert setpoint["pva_port"] > 0
    assert set(pvs) == set(server.get("one")["built_pvs"])
