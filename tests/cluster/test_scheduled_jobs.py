"""Schedules on a real server: jobs that run by themselves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import MINIMAL_TASK, wait_for

pytestmark = pytest.mark.thorough

JOB = """\
import pathlib
import time

from iocmng import JobBase


class Measures(JobBase):
    def initialize(self):
        pass

    def execute(self):
        gate = pathlib.Path(self.parameters["gate"])
        while not gate.exists() and not self.cancelled:
            time.sleep(0.01)
        return self.parameters["what"]
"""

CONFIG = """\
schedule: {cron: "* * * * * *", timezone: Europe/Rome, parameters: {what: by itself}}
parameters: {what: by hand, gate: GATE}
"""


def add(server, gate, **body):
    files = {"measures.py": JOB, "config.yaml": CONFIG.replace("GATE", str(gate))}
    answer = server.add("measures", files, "jobs", **body)
    assert answer.status_code == 201, answer.text
    return answer.json()["plugin"]


def runs(server, state):
    return server.http.get(f"/jobs/measures/runs?state={state}").json()["runs"]


def skipped(server):
    events = server.http.get("/jobs/measures/events").json()["events"]
    return [event["reason"] for event in events if "skipped" in event["reason"]]


def test_a_job_runs_by_itself(server, tmp_path):
    """Each second, with the schedule's parameters, and no longer once a PATCH says off."""
    gate = tmp_path / "gate"
    gate.touch()
    plugin = add(server, gate)
    assert plugin["schedule"] == {
        "cron": "* * * * * *",
        "timezone": "Europe/Rome",
        "parameters": {"what": "by itself"},
    }
    next_run = datetime.fromisoformat(plugin["next_run"])
    assert abs(next_run - datetime.now(UTC)) < timedelta(seconds=10)
    done = wait_for(lambda: len(found := runs(server, "success")) >= 2 and found, "two runs")
    assert {(run["cause"], run["who"], run["result"]["data"]) for run in done} == {
        ("schedule", "schedule", "by itself")
    }
    starts = sorted(datetime.fromisoformat(run["queued_at"]) for run in done)
    assert starts[1] - starts[0] > timedelta(seconds=0.5)
    answer = server.http.patch("/jobs/measures", json={"schedule": "off"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["plugin"]["schedule"], answer.json()["plugin"]["next_run"]) == (None, None)
    assert server.http.post("/jobs/measures/run").json()["result"]["data"] == "by hand"


def test_two_runs_of_a_schedule_are_never_there_at_once(server, tmp_path):
    """While one goes on the next ones are skipped, and an event says so; they are not made up for."""
    gate = tmp_path / "gate"
    add(server, gate)
    wait_for(lambda: skipped(server), "a run that is skipped")
    assert (len(runs(server, "running")), runs(server, "queued")) == (1, [])
    assert "has not ended" in skipped(server)[0]
    server.http.patch("/jobs/measures", json={"schedule": "0 0 1 1 *"})
    Path(gate).touch()
    wait_for(lambda: runs(server, "success"), "the end of the run")
    assert len(server.http.get("/jobs/measures/runs").json()["runs"]) == 1


def test_a_schedule_that_is_wrong_is_refused(server, tmp_path):
    """In an add and in a PATCH, with the place; and so is one for a task."""
    body = {"schedule": {"cron": "0 25 * * *", "timezone": "Europe/Roma"}}
    answer = server.add("measures", {"measures.py": JOB}, "jobs", **body)
    assert answer.status_code == 422
    assert [error["message"].partition(":")[0] for error in answer.json()["validation"]["errors"]] == [
        "schedule.cron",
        "schedule.timezone",
    ]
    answer = server.add("task", {"task.py": MINIMAL_TASK}, schedule="0 6 * * *")
    assert (answer.status_code, answer.json()["validation"]["errors"][0]["step"]) == (422, "config")
    assert "only a job runs by a schedule" in answer.json()["detail"]
    add(server, tmp_path, schedule="off")
    answer = server.http.patch("/jobs/measures", json={"schedule": "every day"})
    assert (answer.status_code, "five fields" in answer.json()["detail"]) == (422, True)
