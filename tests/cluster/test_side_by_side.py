"""Many plugins at once: none meets another, none holds up the server."""

import threading
import time

import pytest
from p4p.client.thread import Context
from support import LOOPBACK, MINIMAL_TASK, SEED_TASK, caget, is_gone, wait_for

pytestmark = pytest.mark.thorough

SLOW_BACKEND = """\
import os, pathlib, time, zipfile


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    time.sleep({seconds})
    name = "slow_thing-@VERSION-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("slow_thing.py", "__version__ = '@VERSION'\\n")
        info = "slow_thing-@VERSION.dist-info"
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: slow-thing\\nVersion: @VERSION\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""

SPINNING = MINIMAL_TASK.replace("class Minimal", "class Spinning").replace(
    "def execute(self):\n        pass", "def execute(self):\n        while self.running:\n            pass"
)

SLEEPING_JOB = """\
import time
from iocmng import JobBase


class Sleeping(JobBase):
    def initialize(self):
        pass

    def execute(self):
        time.sleep(self.parameters["seconds"])
        return "slept"
"""

READER = """\
import helper
import {package}
from iocmng import TaskBase


class Reader(TaskBase):
    def initialize(self):
        self.set_pv("TEXT", helper.WHO + " " + {package}.__version__)

    def execute(self):
        pass

    def cleanup(self):
        pass
"""


def wheel(version):
    """Return an in-tree package `thing` of a version, built without network."""
    backend = SLOW_BACKEND.format(seconds=0).replace("slow_thing", "thing").replace("slow-thing", "thing")
    backend = backend.replace("@VERSION", version)
    return {
        "thing/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "thing"\nversion = "{version}"\n',
        "thing/backend.py": backend,
    }


def test_equal_module_names_and_conflicting_requirements(server):
    """Two plugins whose helper modules have one name and whose requirements conflict run side by side."""
    for name, version in (("first", "1.0"), ("second", "2.0")):
        files = {
            "reader.py": READER.format(package="thing"),
            "helper.py": f"WHO = {name!r}\n",
            "config.yaml": "pvs: {outputs: {TEXT: {type: string}}}",
            "requirements.txt": "./thing\n",
            **wheel(version),
        }
        answer = server.add(name, files)
        assert answer.status_code == 201, answer.text
    assert caget("TST:FIRST:TEXT") == "first 1.0"
    assert caget("TST:SECOND:TEXT") == "second 2.0"


@pytest.mark.timeout(300)
def test_thirty_plugins_and_a_server_that_answers(server):
    """Thirty plugins live, each with its own PVs; a slow add, a long job and a spinning task hold up no read."""
    server.repository(
        "monitor", {"m.py": SEED_TASK, "config.yaml": "pvs: {outputs: {READING: {type: float}, ALARM: {type: bool}}}"}
    )
    url = str(server.repositories / "monitor")
    for number in range(28):
        answer = server.add(f"p{number}", git_url=url)
        assert answer.status_code == 201, answer.text
    assert server.add("spins", {"s.py": SPINNING}).status_code == 201
    assert server.add("sleeps", {"j.py": SLEEPING_JOB, "config.yaml": "parameters: {seconds: 5}"}).status_code == 201
    for number in range(28):
        wait_for(lambda number=number: caget(f"TST:P{number}:READING") == "42", f"p{number} is live")
    with Context("pva", conf=LOOPBACK, useenv=False) as pva:
        assert [float(value) for value in pva.get([f"TST:P{number}:READING" for number in range(28)])] == [42.0] * 28
    assert len({server.get(f"p{number}")["pid"] for number in range(28)}) == 28

    slow = {
        "m.py": MINIMAL_TASK,
        "requirements.txt": "./slow\n",
        "slow/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow-thing"\nversion = "1.0"\n',
        "slow/backend.py": SLOW_BACKEND.format(seconds=6).replace("@VERSION", "1.0"),
    }
    server.repository("slow", slow)
    outcomes = {}

    def call(label, method, path, **body):
        import httpx

        outcomes[label] = httpx.request(method, str(server.http.base_url).rstrip("/") + path, json=body, timeout=60)

    threads = [
        threading.Thread(
            target=call,
            args=("add", "POST", "/tasks"),
            kwargs={"name": "slow", "git_url": str(server.repositories / "slow")},
        ),
        threading.Thread(target=call, args=("job", "POST", "/jobs/sleeps/run")),
    ]
    for thread in threads:
        thread.start()
    answered, slowest = 0, 0.0
    while any(thread.is_alive() for thread in threads):
        begun = time.monotonic()
        assert server.http.get("/health").json()["status"] == "ok"
        assert server.http.get("/tasks").json()["count"] >= 29
        slowest = max(slowest, time.monotonic() - begun)
        answered += 1
    for thread in threads:
        thread.join()
    assert outcomes["add"].status_code == 201, outcomes["add"].text
    assert outcomes["job"].json()["result"]["data"] == "slept"
    # Had one of them held up the reads, there would have been one answer in its five seconds, and not these.
    assert answered > 20, (answered, slowest)
    assert server.http.delete("/tasks/p3").status_code == 200
    assert is_gone("TST:P3:READING")
    assert caget("TST:P4:READING") == "42"


def test_remove_while_requirements_are_installed(server):
    """A plugin whose requirement takes a minute can be removed at once; its installer ends, no file stays."""
    slow = {
        "m.py": MINIMAL_TASK,
        "requirements.txt": "./slow\n",
        "slow/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow-thing"\nversion = "1.0"\n',
        "slow/backend.py": SLOW_BACKEND.format(seconds=60).replace("@VERSION", "1.0"),
    }
    server.repository("slow-one", slow)
    body = {"name": "slow-one", "git_url": str(server.repositories / "slow-one")}
    assert server.http.post("/tasks?wait=false", json=body).status_code == 202
    wait_for(lambda: server.processes_with(b"--target="), "the installer runs")
    assert server.http.delete("/tasks/slow-one").status_code == 200
    wait_for(lambda: not server.processes_with(b"--target="), "the installer has ended", deadline=10)
    wait_for(lambda: not server.leftovers(), "no file is left", deadline=10)


def test_runs_of_one_job_wait_their_turn(server):
    """Calls that arrive while a job runs are run one after the other, none is lost."""
    server.add("sleeps", {"j.py": SLEEPING_JOB, "config.yaml": "parameters: {seconds: 0.2}"})
    outcomes = []

    def run():
        import httpx

        outcomes.append(httpx.post(f"{server.http.base_url}jobs/sleeps/run", timeout=60).json()["result"])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stamps = sorted(outcome["timestamp"] for outcome in outcomes)
    assert len(set(stamps)) == 4
    assert all(outcome["success"] for outcome in outcomes)


def test_a_task_cannot_be_run_and_a_job_cannot_be_started(server):
    """The wrong kind is a bad request that says what to do instead."""
    server.add("task", {"m.py": MINIMAL_TASK})
    server.add("job", {"j.py": SLEEPING_JOB, "config.yaml": "parameters: {seconds: 0}"})
    assert server.http.post("/plugins/task/run").status_code == 400
    assert server.http.post("/plugins/job/start").status_code == 400
    assert server.http.get("/tasks/job").status_code == 400


def test_a_job_whose_process_dies_answers_and_leaves_the_server_whole(server):
    """os._exit in a run: 502 with a sentence; the job comes back by itself, says so, and can be run again."""
    dying = SLEEPING_JOB.replace('time.sleep(self.parameters["seconds"])', "__import__('os')._exit(1)")
    server.add("dies", {"j.py": dying, "config.yaml": "parameters: {seconds: 0}"})
    answer = server.http.post("/jobs/dies/run")
    assert answer.status_code == 502
    assert "ended" in answer.json()["detail"]
    wait_for(lambda: server.get("dies")["restarts"] == 1, "it has come back")
    plugin = wait_for(
        lambda: (one := server.get("dies"))["status"] == "error" and one, "it shows the run that was lost"
    )
    assert f"run {answer.json()['run_id']}: " in plugin["message"]
    assert caget("TST:DIES:STATUS") == "FAILED"
    assert server.http.post("/jobs/dies/run").status_code == 502
