"""The command line against a real server: what an operator does on a morning."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support import SEED_TASK, caget, commit_files, is_gone, wait_for

from iocmng.client import Client
from iocmng.errors import PluginRejected, RunCancelled, UnknownPlugin

pytestmark = pytest.mark.thorough

CONFIG = "parameters: {interval: 0.1}\npvs: {outputs: {READING: {type: float}, ALARM: {type: bool}}}\n"

SCAN = """\
import time

from iocmng import JobBase, JobResult


class Scan(JobBase):
    def initialize(self):
        self.logger.info("scan of %s steps", self.parameters["steps"])

    def execute(self):
        steps = self.parameters["steps"]
        for step in range(steps):
            self.report_progress((step + 1) / steps, f"step {step + 1}")
            deadline = time.monotonic() + self.parameters["pause"]
            while time.monotonic() < deadline:
                if self.cancelled:
                    return JobResult(False, message="cancelled")
                time.sleep(0.01)
        return JobResult(steps != 3, {"steps": steps}, "scanned")
"""


@pytest.fixture
def iocmng(server):
    """Run `iocmng` with arguments; return exit status, stdout and stderr."""

    def run(*arguments):
        environment = os.environ | {"IOCMNG_URL": f"http://127.0.0.1:{server.port}"}
        command = [sys.executable, "-m", "iocmng", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=90, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_task_is_added_looked_at_replaced_and_removed(server, iocmng):
    """Each command returns when its change is there, for EPICS clients too."""
    repository = server.repository("walk", {"m.py": SEED_TASK, "config.yaml": CONFIG})
    source = ["--git-url", repository.working_dir]
    assert iocmng("add", "walk", *source, "--param", "threshold=30") == (0, "plugin 'walk' added\n", "")
    wait_for(lambda: caget("TST:WALK:ALARM") == "On", "the parameter has arrived")
    assert iocmng("add", "walk", *source)[0] == 1
    status, out, _ = iocmng("list")
    assert status == 0
    assert out.splitlines()[1].split()[:4] == ["walk", "task", "running", "1"]
    assert json.loads(iocmng("get", "walk", "--json")[1]).keys() == server.get("walk").keys()
    assert "TST:WALK:READING" in iocmng("pvs", "walk")[1]
    assert "Starting monitor" in iocmng("logs", "walk")[1]
    assert "ok: iocmng" in iocmng("health")[1]
    assert iocmng("stop", "walk")[0] == 0
    assert server.get("walk")["status"] == "stopped"
    assert iocmng("start", "walk")[0] == 0
    commit_files(repository, {"m.py": "def broken(:\n"})
    status, out, err = iocmng("restart", "walk")
    assert (status, out) == (1, "")
    assert "syntax" in err
    assert "m.py, line 1" in err
    commit_files(repository, {"m.py": SEED_TASK.replace("42.0", "43.0")})
    assert iocmng("restart", "walk")[0] == 0
    wait_for(lambda: caget("TST:WALK:READING") == "43", "the new version")
    assert iocmng("rollback", "walk")[0] == 0
    wait_for(lambda: caget("TST:WALK:READING") == "42", "the old version")
    causes = [line.split()[1] for line in iocmng("generations", "walk")[1].splitlines()[1:]]
    assert causes == ["rollback", "restart", "restart", "add"]
    assert "walk: " in iocmng("events", "walk")[1]
    assert iocmng("remove", "walk") == (0, "plugin 'walk' removed\n", "")
    assert is_gone("TST:WALK:READING")
    assert iocmng("get", "walk") == (1, "", "iocmng: there is no plugin 'walk'\n")


def test_a_job_is_run_watched_and_cancelled(server, iocmng):
    """Progress on stderr, the result on stdout, the status tells success; a cancelled run is no success."""
    repository = server.repository("scan", {"scan.py": SCAN, "config.yaml": "parameters: {steps: 2, pause: 0}\n"})
    assert iocmng("add", "scan", "--git-url", repository.working_dir)[0] == 0
    status, out, err = iocmng("job", "run", "scan", "--param", "steps=4", "--param", "pause=0.5")
    assert (status, out) == (0, 'scanned\n{\n  "steps": 4\n}\n')
    assert "running" in err
    assert "step" in err
    status, out, err = iocmng("job", "run", "scan", "--param", "steps=3", "--json")
    run = json.loads(out)
    assert (status, run["state"], run["result"]["data"]) == (1, "failed", {"steps": 3})
    assert any("scan of 3 steps" in line for line in run["log"])
    status, out, _ = iocmng("job", "run", "scan", "--no-wait", "--json", "--param", "pause=60")
    run_id = json.loads(out)["run_id"]
    assert status == 0
    wait_for(lambda: "running" in iocmng("job", "show", "scan", run_id)[1], "it runs")
    assert iocmng("job", "cancel", "scan", run_id)[0] == 0
    assert iocmng("job", "cancel", "scan", run_id)[0] == 1
    states = [line.split()[1] for line in iocmng("job", "runs", "scan")[1].splitlines()[1:]]
    assert states == ["cancelled", "failed", "success"]
    status, _, err = iocmng("job", "run", "scan", "--param", "pause=60", "--timeout", "0.5")
    assert (status, "timed out" in err) == (1, True)
    assert iocmng("remove", "scan")[0] == 0


def test_the_python_client_does_the_same(server):
    """Errors with their checks, a run with its changes, logs and events as they come."""
    repository = server.repository("scan", {"scan.py": SCAN, "config.yaml": "parameters: {steps: 2, pause: 0}\n"})
    with Client(f"http://127.0.0.1:{server.port}") as client:
        events = client.follow_events("scan", after=0)
        with pytest.raises(PluginRejected) as rejected:
            client.add("scan", git_url=repository.working_dir, path="none")
        assert [failure.step for failure in rejected.value.failures] == ["clone"]
        client.add("scan", git_url=repository.working_dir)
        while next(events)["status"] != "loaded":
            pass
        seen = []
        run = client.run_job("scan", {"steps": 2, "pause": 0.3}, on_change=lambda run: seen.append(run["state"]))
        assert run["result"]["data"] == {"steps": 2}
        assert seen[-1] == "success"
        pages = client.follow_logs("scan")
        assert any("scan of 2 steps" in line for line in next(pages)["lines"])
        started = client.submit_job("scan", {"pause": 60})
        assert any("scan of 2 steps" in line for line in next(pages)["lines"])
        client.cancel_run("scan", started["run_id"])
        with pytest.raises(RunCancelled):
            client.wait_for_run("scan", started["run_id"])
        client.remove("scan")
        with pytest.raises(UnknownPlugin):
            client.get("scan")
