"""The main job, end to end: the two plugins of the founding document, in git, through REST, seen by EPICS clients."""

import datetime

import pytest
from p4p.client.thread import Context
from support import LOOPBACK, SEED_TASK, caget, caput, commit_files, is_gone, tool, wait_for

SEED_CONFIG = """\
parameters:
  mode: continuous
  interval: 0.1
  threshold: 75.0

pvs:
  inputs:
    SETPOINT:
      type: float
      value: 50.0
      unit: "%"
      prec: 2
      low: 0
      high: 100
  outputs:
    READING:
      type: float
      value: 0.0
      unit: "arb"
      prec: 3
    ALARM:
      type: bool
      value: 0
      znam: "OK"
      onam: "ALARM"
"""

SEED_JOB = """\
from iocmng import JobBase
from iocmng.base.job import JobResult

class MyDiagnostics(JobBase):
    def initialize(self):
        self.logger.info("Preparing diagnostics")

    def execute(self) -> JobResult:
        info = {"status": "healthy", "uptime": 12345}
        self.set_pv("SYSTEM_NAME", info["status"])
        return JobResult(success=True, data=info, message="Diagnostics OK")
"""

JOB_CONFIG = "pvs: {outputs: {SYSTEM_NAME: {type: string, value: unknown}}}\n"

TASK_FILES = {"src/monitor/my_monitor.py": SEED_TASK, "src/monitor/config.yaml": SEED_CONFIG, "README": "x"}


@pytest.fixture
def pva():
    """A PV Access client."""
    with Context("pva", conf=LOOPBACK, useenv=False) as context:
        yield context


def test_a_task_in_git_becomes_live_pvs(server, pva, tmp_path):
    """POST /tasks answers 201 when the PVs are live, over CA and PVA, and the REST parameter wins."""
    commit = server.repository("monitor-repo", TASK_FILES).head.commit.hexsha
    answer = server.add(
        "my-monitor",
        kind="tasks",
        git_url=str(server.repositories / "monitor-repo"),
        path="src/monitor",
        parameters={"threshold": 30},
    )
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["ok"] is True
    assert body["validation"]["errors"] == []
    plugin = body["plugin"]
    assert (plugin["class_name"], plugin["commit"], plugin["branch"]) == ("MyMonitor", commit, "main")
    assert (plugin["status"], plugin["running"], plugin["pv_prefix"]) == ("running", True, "TST:MY-MONITOR")
    wait_for(lambda: caget("TST:MY-MONITOR:READING") == "42", "READING is 42 over CA")
    wait_for(lambda: caget("TST:MY-MONITOR:ALARM") == "ALARM", "ALARM, because REST said threshold 30")
    reading = pva.get("TST:MY-MONITOR:READING", timeout=5)
    assert float(reading) == 42.0
    assert reading.raw.display.units == "arb"
    assert tool("caget", "-t", "TST:MY-MONITOR:VERSION").stdout.strip() == commit[:7]


def test_enable_pauses_and_resumes(server):
    """Caput ENABLE 0: STATUS is PAUSED and CYCLE_COUNT stands still; 1 resumes; REST tells the same."""
    server.add("my-monitor", TASK_FILES, path="src/monitor")
    wait_for(lambda: int(caget("TST:MY-MONITOR:CYCLE_COUNT")) > 1, "cycles")
    caput("TST:MY-MONITOR:ENABLE", 0)
    wait_for(lambda: caget("TST:MY-MONITOR:STATUS") == "PAUSED", "PAUSED")
    wait_for(lambda: server.get("my-monitor")["status"] == "paused", "REST says paused")
    count = caget("TST:MY-MONITOR:CYCLE_COUNT")
    heartbeat = caget("TST:MY-MONITOR:HEARTBEAT")
    wait_for(lambda: caget("TST:MY-MONITOR:HEARTBEAT") != heartbeat, "a second passed")
    assert caget("TST:MY-MONITOR:CYCLE_COUNT") == count
    caput("TST:MY-MONITOR:ENABLE", 1)
    wait_for(lambda: int(caget("TST:MY-MONITOR:CYCLE_COUNT")) > int(count), "cycles go on")
    assert caget("TST:MY-MONITOR:STATUS") == "RUN"


def lines_without(server, words):
    """Return the lines of the job's log that do not hold these words."""
    return [line for line in server.http.get("/jobs/my-diag/logs").json()["lines"] if words not in line]


def test_a_job_runs_by_rest_and_by_pv(server):
    """POST /jobs and /run: success, data, message, timestamp; writing 1 to RUN runs it too."""
    answer = server.add(
        "my-diag", {"jobs/d/my_diagnostics.py": SEED_JOB, "jobs/d/config.yaml": JOB_CONFIG}, "jobs", path="jobs/d"
    )
    assert answer.status_code == 201, answer.text
    body = server.http.post("/jobs/my-diag/run").json()
    result = body["result"]
    assert body["ok"] is True
    assert (result["success"], result["data"]) == (True, {"status": "healthy", "uptime": 12345})
    assert result["message"] == "Diagnostics OK"
    datetime.datetime.fromisoformat(result["timestamp"])
    assert caget("TST:MY-DIAG:SYSTEM_NAME") == "healthy"
    assert caget("TST:MY-DIAG:STATUS") == "SUCCESS"
    caput("TST:MY-DIAG:RUN", 1)
    put = "TST:MY-DIAG:RUN written by"
    wait_for(lambda: len(lines_without(server, put)) == 2, "a second run in the log")


def test_remove_takes_the_pvs_and_add_brings_them_back(server):
    """DELETE answers when the PVs are gone, the neighbour never notices, and the name can be used again."""
    server.add("keeps", TASK_FILES, path="src/monitor")
    server.add("goes", git_url=str(server.repositories / "keeps"), path="src/monitor")
    wait_for(lambda: caget("TST:GOES:READING") == "42", "up")
    pid = server.get("keeps")["pid"]
    assert server.http.delete("/tasks/goes").json()["ok"] is True
    assert is_gone("TST:GOES:READING")
    assert server.http.get("/tasks/goes").status_code == 404
    assert server.get("keeps")["pid"] == pid
    again = server.add("goes", git_url=str(server.repositories / "keeps"), path="src/monitor")
    assert again.status_code == 201
    wait_for(lambda: caget("TST:GOES:READING") == "42", "back")


def test_restart_fetches_the_branch_again(server):
    """POST restart runs the branch's newest commit, and says which one runs."""
    server.add("my-monitor", TASK_FILES, path="src/monitor")
    old = server.get("my-monitor")
    repository = __import__("git").Repo(server.repositories / "my-monitor")
    commit = commit_files(repository, {"src/monitor/my_monitor.py": SEED_TASK.replace("42.0", "43.0")})
    answer = server.http.post("/plugins/my-monitor/restart")
    assert answer.status_code == 200, answer.text
    plugin = answer.json()["plugin"]
    assert (plugin["commit"], plugin["generation"], plugin["restarts"]) == (commit, 2, 1)
    assert plugin["pid"] != old["pid"]
    wait_for(lambda: caget("TST:MY-MONITOR:READING") == "43", "the new version's value")


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"src/monitor/my_monitor.py": "def broken(:\n"}, "syntax"),
        ({"src/monitor/config.yaml": "pvs: {inputs: {A: {type: flaot}}}\n"}, "config"),
        (
            {
                "src/monitor/my_monitor.py": SEED_TASK.replace(
                    'self.logger.info("Starting monitor")', 'raise OSError("no sensor")'
                )
            },
            "initialize",
        ),
    ],
)
def test_a_failed_restart_leaves_the_old_version_running(server, change, step):
    """A new version that fails is refused with its step, and the old one runs on (again, where it had to stop)."""
    server.add("my-monitor", TASK_FILES, path="src/monitor")
    commit = server.get("my-monitor")["commit"]
    repository = __import__("git").Repo(server.repositories / "my-monitor")
    commit_files(repository, change)
    answer = server.http.post("/plugins/my-monitor/restart")
    assert answer.status_code == 422, answer.text
    assert [error["step"] for error in answer.json()["validation"]["errors"]] == [step]
    plugin = server.get("my-monitor")
    assert (plugin["commit"], plugin["status"], plugin["generation"]) == (commit, "running", 1)
    wait_for(lambda: caget("TST:MY-MONITOR:READING") == "42", "the old version serves")


def test_branch_tag_and_commit_choose_the_version(server):
    """Branch takes a branch or a tag, commit wins over both."""
    repository = server.repository("versions", {"t.py": SEED_TASK, "config.yaml": SEED_CONFIG})
    repository.create_tag("v1")
    first = repository.head.commit.hexsha
    commit_files(repository, {"t.py": SEED_TASK.replace("42.0", "50.0")})
    url = str(server.repositories / "versions")
    assert server.add("by-tag", git_url=url, branch="v1").json()["plugin"]["commit"] == first
    assert server.add("by-commit", git_url=url, commit=first[:10]).json()["plugin"]["commit"] == first
    assert server.add("newest", git_url=url, branch="main").json()["plugin"]["commit"] == repository.head.commit.hexsha
    wait_for(lambda: caget("TST:BY-TAG:READING") == "42", "tag")
    wait_for(lambda: caget("TST:NEWEST:READING") == "50", "newest")
