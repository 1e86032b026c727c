"""Runs of jobs on a real server: many clients, cancel, results of any size, processes that die, RUN."""

import getpass
import itertools
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import caget, caput, wait_for

CONFIG = "pvs: {inputs: {GAIN: {type: float, value: 2}}, outputs: {DONE: {type: int}, OUT: {type: float}}}\n"

JOB = """\
import pathlib
import time

from iocmng import JobBase, JobResult


class Work(JobBase):
    def initialize(self):
        pass

    def execute(self):
        ask = self.parameters
        self.logger.info("began %s", ask.get("word", ""))
        for step in range(int(ask.get("steps", 1))):
            if self.cancelled and not ask.get("deaf"):
                return JobResult(False, data={"steps": step}, message=f"stopped at {step}")
            self.report_progress(step / 100, f"step {step}")
            time.sleep(ask.get("pause", 0))
        if gate := ask.get("gate"):
            self.report_progress(0.5, "waits")
            while not pathlib.Path(gate).exists():
                time.sleep(0.01)
        self.set_pv("OUT", ask.get("out", 1) * self.get_pv("GAIN"))
        self.set_pv("DONE", self.get_pv("DONE") + 1)
        if ask.get("numpy"):
            import numpy
            return {"peak": numpy.float64(1.5), "n": numpy.int32(3), "trace": numpy.arange(3)}
        return "x" * int(ask.get("bytes", 0))
"""


def add(server, name, config=CONFIG, **body):
    """Add the job."""
    answer = server.add(name, {"work.py": JOB, "config.yaml": config}, "jobs", **body)
    assert answer.status_code == 201, answer.text
    return answer.json()["plugin"]


def begin(server, name, **parameters):
    """Ask for a run and do not wait for it; return its id."""
    answer = server.http.post(f"/jobs/{name}/run?wait=false", json={"parameters": parameters})
    assert answer.status_code == 202, answer.text
    return answer.json()["run_id"]


def run_of(server, name, number):
    """Return a run."""
    return server.http.get(f"/jobs/{name}/runs/{number}").raise_for_status().json()


def ended(server, name, number, deadline=20.0):
    """Return a run once it has ended."""
    return wait_for(
        lambda: (run := run_of(server, name, number))["state"] not in ("queued", "running") and run,
        f"run {number} of {name} has ended",
        deadline,
    )


def test_eight_clients_at_once(server):
    """Each gets its own result; the runs come one after the other, and the log of each has its own lines alone."""
    add(server, "eight")

    def ask(number):
        parameters = {"word": f"w{number}", "bytes": number}
        return server.http.post("/jobs/eight/run", json={"parameters": parameters}).json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert [len(answer["result"]["data"]) for answer in answers] == list(range(8))
    page = server.http.get("/jobs/eight/runs").json()
    assert [run["run_id"] for run in page["runs"]] == sorted((answer["run_id"] for answer in answers), reverse=True)
    oldest_first = page["runs"][::-1]
    assert all(one["ended_at"] <= two["started_at"] for one, two in itertools.pairwise(oldest_first))
    for number, answer in enumerate(answers):
        [line] = run_of(server, "eight", answer["run_id"])["log"]
        assert line.endswith(f"INFO began w{number}")
    assert len(server.http.get("/jobs/eight/logs").json()["lines"]) == 8
    assert caget("TST:EIGHT:DONE") == "8"


def test_a_run_without_waiting(server, tmp_path):
    """202 with its place, progress and message while it goes on, the result afterwards; the stream tells of it."""
    add(server, "later")
    gate = tmp_path / "gate"
    answer = server.http.post("/jobs/later/run?wait=false", json={"parameters": {"gate": str(gate), "numpy": True}})
    number = answer.json()["run_id"]
    assert answer.headers["location"] == f"/api/v1/jobs/later/runs/{number}"
    with server.http.stream("GET", "/events?plugin=later") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        wait_for(lambda: run_of(server, "later", number)["progress"] == 50, "progress")
        assert run_of(server, "later", number)["message"] == "waits"
        assert server.get("later")["runs"]["running"] == [number]
        wait_for(lambda: caget("TST:LATER:PROGRESS") == "50", "PROGRESS")
        gate.touch()
        told = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith('data: {"run_id"'))
        assert next(run for run in told if run["state"] == "success")["run_id"] == number
    run = ended(server, "later", number)
    assert (run["state"], run["progress"]) == ("success", 100)
    assert run["result"]["data"] == {"peak": 1.5, "n": 3, "trace": [0, 1, 2]}
    assert server.get("later")["runs"] == {
        "queued": 0,
        "running": [],
        "last": {"run_id": number, "state": "success"},
    }


def test_cancel(server):
    """A run that looks at `cancelled` ends by itself and keeps its result; who waits for it is told."""
    add(server, "obeys")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            server.http.post, "/jobs/obeys/run", json={"parameters": {"steps": 10_000, "pause": 0.01}}
        )
        number = wait_for(lambda: server.get("obeys")["runs"]["running"], "it runs")[0]
        answer = server.http.delete(f"/jobs/obeys/runs/{number}")
        assert answer.status_code == 200, answer.text
        run = answer.json()["run"]
        assert (run["state"], run["result"]["success"]) == ("cancelled", False)
        problem = waiting.result()
    assert problem.status_code == 409
    assert (problem.json()["type"], problem.json()["run_id"]) == ("urn:iocmng:problem:run-cancelled", number)
    assert (caget("TST:OBEYS:STATUS"), caget("TST:OBEYS:MESSAGE")) == ("FAILED", run["message"])
    assert server.http.delete(f"/jobs/obeys/runs/{number}").status_code == 409


def test_a_job_that_ignores_cancel_is_replaced_and_its_pvs_are_back(server):
    """After the grace period the process is killed; the same PVs come from another one, which can run."""
    pid = add(server, "deaf")["pid"]
    caput("TST:DEAF:GAIN", 3)
    number = begin(server, "deaf", steps=10_000, pause=0.01, deaf=True)
    wait_for(lambda: run_of(server, "deaf", number)["progress"] > 0, "it is at work")
    wait_for(lambda: caget("TST:DEAF:GAIN") == "3", "the value has been taken")
    answer = server.http.delete(f"/jobs/deaf/runs/{number}")
    assert (answer.status_code, answer.json()["run"]["state"]) == (200, "cancelled"), answer.text
    plugin = wait_for(lambda: (p := server.get("deaf"))["restarts"] == 1 and p, "another process")
    assert plugin["pid"] not in (None, pid)
    assert plugin["crashes"] == 0
    wait_for(lambda: caget("TST:DEAF:STATUS") == "FAILED", "the new process shows what became of the run")
    assert "cancelled" in caget("TST:DEAF:MESSAGE")
    assert server.http.post("/jobs/deaf/run", json={"parameters": {"out": 2}}).json()["ok"] is True
    wait_for(lambda: caget("TST:DEAF:OUT") == "6", "with the same setpoint")
    reasons = [event["reason"] for event in server.http.get("/plugins/deaf/events").json()["events"]]
    assert any(f"run {number} was told to end" in reason for reason in reasons)


def test_a_time_out(server):
    """504 with the run's number; the run is marked."""
    add(server, "slow")
    answer = server.http.post("/jobs/slow/run", json={"timeout": 0.2, "parameters": {"steps": 10_000, "pause": 0.01}})
    assert answer.status_code == 504
    run = run_of(server, "slow", answer.json()["run_id"])
    assert (run["state"], run["timeout"]) == ("timed_out", 0.2)
    assert run["message"].startswith("it took longer than 0.2 s; stopped at")


def test_a_result_of_a_hundred_megabytes_fails_clearly(server):
    """It never leaves the job's process, which goes on."""
    pid = add(server, "large")["pid"]
    answer = server.http.post("/jobs/large/run", json={"parameters": {"bytes": 100_000_000}})
    assert answer.status_code == 200
    assert answer.json()["ok"] is False
    message = answer.json()["result"]["message"]
    assert "100000002 bytes of JSON" in message
    assert "IOCMNG_RESULT_MAX_BYTES" in message
    assert run_of(server, "large", answer.json()["run_id"])["state"] == "failed"
    assert server.get("large")["pid"] == pid
    assert server.http.post("/jobs/large/run").json()["ok"] is True


def test_kill_9_in_the_middle_of_a_run_loses_it(server):
    """502 for who waits; the run is lost, and the job runs again in its new process."""
    pid = add(server, "killed")["pid"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            server.http.post, "/jobs/killed/run", json={"parameters": {"steps": 10_000, "pause": 0.01}}
        )
        number = wait_for(lambda: server.get("killed")["runs"]["running"], "it runs")[0]
        wait_for(lambda: run_of(server, "killed", number)["progress"] > 0, "it is at work")
        os.kill(pid, signal.SIGKILL)
        answer = waiting.result()
    assert (answer.status_code, answer.json()["run_id"]) == (502, number)
    run = run_of(server, "killed", number)
    assert run["state"] == "lost"
    assert "nobody knows how much of the run was done" in run["message"]
    assert run["log"], "its lines are kept"
    wait_for(lambda: server.get("killed")["status"] in ("loaded", "error"), "it is up again")
    wait_for(lambda: caget("TST:KILLED:STATUS") == "FAILED", "its PVs say so")
    assert server.http.post("/jobs/killed/run").json()["ok"] is True


def test_run_pv(server):
    """Writing 1 to RUN starts a run that is listed with its cause; RUN is 0 again when it was taken."""
    add(server, "bypv")
    caput("TST:BYPV:RUN", 1)
    [run] = wait_for(lambda: server.http.get("/jobs/bypv/runs").json()["runs"], "a run")
    assert (run["cause"], run["parameters"]) == ("pv", {})
    assert run["who"].startswith(f"{getpass.getuser()}@"), "the client that has written it"
    assert ended(server, "bypv", run["run_id"])["state"] == "success"
    wait_for(lambda: caget("TST:BYPV:STATUS") == "SUCCESS", "STATUS")
    assert caget("TST:BYPV:RUN") in ("0", "IDLE")


@pytest.mark.timeout(120)
def test_two_at_once(server, tmp_path):
    """With concurrency 2 the second goes on in a process of its own, with the same inputs; PVs show the newest."""
    add(server, "two", CONFIG + "concurrency: 2\n")
    caput("TST:TWO:GAIN", 5)
    gates = [tmp_path / "a", tmp_path / "b"]
    numbers = [begin(server, "two", gate=str(gate), out=place + 1) for place, gate in enumerate(gates)]
    wait_for(lambda: server.get("two")["runs"]["running"] == numbers, "both run", 40)
    wait_for(lambda: run_of(server, "two", numbers[1])["progress"] == 50, "the second is at work")
    gates[1].touch()
    second = ended(server, "two", numbers[1])
    assert second["state"] == "success", second
    wait_for(lambda: caget("TST:TWO:OUT") == "10", "what the newest run has set")
    wait_for(lambda: caget("TST:TWO:STATUS") == "SUCCESS", "how it ended")
    gates[0].touch()
    assert ended(server, "two", numbers[0])["state"] == "success"
    assert (caget("TST:TWO:OUT"), caget("TST:TWO:STATUS")) == ("10", "SUCCESS")
    assert len(run_of(server, "two", numbers[1])["log"]) == 1
