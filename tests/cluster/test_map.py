"""map() on a real cluster: in other processes, in order, with progress, and with nothing left behind."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import caget, wait_for
from test_side_by_side import wheel

pytestmark = pytest.mark.thorough

GATE = '''\
import os
import pathlib
import time


def wait_at(gate):
    """Return this process's id once the file is there."""
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return os.getpid()
'''

GATED_JOB = """\
from gate import wait_at

from iocmng import JobBase


class Gated(JobBase):
    def execute(self):
        return self.map(wait_at, self.parameters["gates"])

    def initialize(self):
        pass

    def cleanup(self):
        self.logger.info("cleaned up")
"""

PARALLEL_JOB = """\
import logging
import os
import time

from factor import FACTOR

from iocmng import JobBase


def work(number):
    logging.getLogger("analysis").info("got %d", number)
    time.sleep(0.3 if number else 0.6)
    return {"result": FACTOR * number, "pid": os.getpid(), "nice": os.nice(0)}


class Parallel(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return {"pid": os.getpid(), "items": self.map(work, range(6))}
"""

# What may be handed to map(), each with what it must give for the items 1 and 2.
PORTABLE = {
    "a function of a helper": ("helper.double", [2, 4]),
    "a function of the module": ("triple", [3, 6]),
    "a lambda": ("lambda item: item + 1", [2, 3]),
    "a closure": ("adder(10)", [11, 12]),
    "a partial": ("functools.partial(helper.power, exponent=3)", [1, 8]),
    "a static method": ("Portable.negative", [-1, -2]),
    "a requirement": ("thing_says", ["1.0 1", "1.0 2"]),
    "a module of a package": ("parts.inner.half", [0.5, 1.0]),
    "an import inside": ("imports_late", [2, 4]),
    "objects of the plugin": ("lambda item: str(helper.Point(item).moved())", ["at 2", "at 3"]),
}

PORTABLE_FILES = {
    "helper.py": """\
class Point:
    def __init__(self, x):
        self.x = x

    def moved(self):
        return Point(self.x + 1)

    def __str__(self):
        return f"at {self.x}"


def double(item):
    return 2 * item


def power(item, exponent):
    return item**exponent
""",
    "requirements.txt": "./thing\n",
    **wheel("1.0"),
    "parts/__init__.py": "",
    "parts/inner.py": "def half(item):\n    return item / 2\n",
    # A name of the standard library, so that the importer has to choose another one.
    "calendar.py": """\
import functools

import helper
import parts.inner
import thing

from iocmng import JobBase


def thing_says(item):
    return f"{thing.__version__} {item}"


def triple(item):
    return 3 * item


def adder(amount):
    return lambda item: item + amount


def imports_late(item):
    from helper import double

    return double(item)


class Portable(JobBase):
    @staticmethod
    def negative(item):
        return -item

    def initialize(self):
        pass

    def execute(self):
        function = eval(self.parameters["function"])
        return self.map(function, [1, 2], max_parallel=1)
""",
}


def workers(server):
    """Return the ids of the processes that work for some map()."""
    return server.processes_with(b"MapWorker")


@pytest.fixture
def gates(tmp_path):
    """Return paths at which the items of the job `gated` wait."""
    return [str(tmp_path / f"gate-{number}") for number in range(4)]


@pytest.fixture
def gated(server, gates):
    """Return a run of the job `gated` under way, as the future of its answer."""
    assert server.add("gated", {"gated.py": GATED_JOB, "gate.py": GATE}).status_code == 201
    with ThreadPoolExecutor() as pool:
        run = pool.submit(server.http.post, "/jobs/gated/run", json={"parameters": {"gates": gates}})
        wait_for(lambda: workers(server), "workers")
        yield run
        for gate in gates:
            Path(gate).touch()
        wait_for(lambda: not workers(server), "no workers are left")


def test_items_run_at_the_same_time_in_processes_of_their_own(server):
    """Results in the items' order, from several processes behind the IOCs, with their log lines."""
    server.add("parallel", {"parallel.py": PARALLEL_JOB, "factor.py": "FACTOR = 7\n"})
    answer = server.http.post("/jobs/parallel/run").json()
    assert answer["ok"] is True, answer
    data = answer["result"]["data"]
    assert [item["result"] for item in data["items"]] == [0, 7, 14, 21, 28, 35]
    pids = {item["pid"] for item in data["items"]}
    assert len(pids) == min(os.cpu_count(), 6)
    assert data["pid"] not in pids
    assert {item["nice"] for item in data["items"]} == {os.nice(0) + 10}
    lines = server.http.get("/jobs/parallel/logs").json()["lines"]
    assert sorted(line.partition("item ")[2] for line in lines) == [f"{number}: got {number}" for number in range(6)]
    wait_for(lambda: not workers(server), "no workers are left")


def test_progress_follows_the_items(server, gated, gates):
    """PROGRESS shows the part of the items that have finished."""
    for number, percent in enumerate(("25", "50", "75")):
        Path(gates[number]).touch()
        wait_for(lambda percent=percent: caget("TST:GATED:PROGRESS") == percent, f"{percent} %")
    Path(gates[3]).touch()
    assert gated.result().json()["ok"] is True
    assert caget("TST:GATED:PROGRESS") == "100"


def test_a_cancelled_run_ends_its_workers_at_once(server, gated):
    """The run is cancelled, with its cleanup(), and the job's process stays."""
    pid = server.get("gated")["pid"]
    number = server.get("gated")["runs"]["running"][0]
    answer = server.http.delete(f"/jobs/gated/runs/{number}")
    assert answer.status_code == 200, answer.text
    assert workers(server) == []
    assert (gated.result().status_code, gated.result().json()["run_id"]) == (409, number)
    run = server.http.get(f"/jobs/gated/runs/{number}").json()
    assert (run["state"], [line.split()[-2:] for line in run["log"]]) == ("cancelled", [["cleaned", "up"]])
    assert server.get("gated")["pid"] == pid


def test_a_run_that_times_out_ends_its_workers(server):
    """The limit of the run counts for what it has begun elsewhere, too."""
    server.add("gated", {"gated.py": GATED_JOB, "gate.py": GATE})
    body = {"parameters": {"gates": ["/nowhere"]}, "timeout": 2}
    answer = server.http.post("/jobs/gated/run", json=body)
    assert answer.status_code == 504, answer.text
    assert workers(server) == []


def test_a_removal_ends_the_map_and_its_workers(server, gated):
    """What runs is ended within a moment."""
    assert server.http.delete("/jobs/gated").status_code == 200
    assert workers(server) == []
    assert gated.result().status_code == 409


def test_no_worker_outlives_its_job(server, gated):
    """After kill -9 of the job's process all its workers are gone."""
    os.kill(server.get("gated")["pid"], signal.SIGKILL)
    wait_for(lambda: not workers(server), "no workers are left", 5)
    assert gated.result().status_code == 502


def test_a_map_without_a_free_cpu_waits(server, gated, gates):
    """Two maps share the CPUs and never have more processes than there are; one that waits can be cancelled."""
    server.add("parallel", {"parallel.py": PARALLEL_JOB, "factor.py": "FACTOR = 2\n"})
    wait_for(lambda: len(workers(server)) == min(os.cpu_count(), len(gates)), "all workers of the first map")
    first = set(workers(server))

    def wait_in_vain():
        number = server.http.post("/jobs/parallel/run?wait=false").json()["run_id"]
        wait_for(lambda: "no process yet" in "".join(log("parallel")), "the log tells what it waits for")
        return number

    def log(name):
        return server.http.get(f"/jobs/{name}/logs").json()["lines"]

    if os.cpu_count() <= len(gates):
        number = wait_in_vain()
        assert set(workers(server)) == first
        assert server.http.delete(f"/jobs/parallel/runs/{number}").json()["run"]["state"] == "cancelled"
    for gate in gates:
        Path(gate).touch()
    assert gated.result().json()["ok"] is True
    assert server.http.post("/jobs/parallel/run").json()["ok"] is True


def test_what_fails_is_named(server):
    """An exception ends the map with the item, the text and the author's line; a crash is told too."""
    job = """\
    import os
    import threading
    from iocmng import JobBase

    def check(item):
        if item == "crash":
            os._exit(3)
        if item == "lock":
            return threading.Lock()
        return int(item)

    class Checks(JobBase):
        def initialize(self):
            pass

        def execute(self):
            return self.map(check, self.parameters["texts"])
    """
    server.add("checks", {"checks.py": job})

    def message(*texts):
        answer = server.http.post("/jobs/checks/run", json={"parameters": {"texts": texts}}).json()
        assert answer["ok"] is False
        return answer["result"]["message"]

    expected = "item 1 ('two'): ValueError: invalid literal for int() with base 10: 'two' (checks.py, line 10)"
    assert message("1", "two", "3") == expected
    assert "line 10, in check" in "\n".join(server.http.get("/jobs/checks/logs").json()["lines"])
    assert message("lock").startswith("item 0 ('lock'): it or its result cannot be sent between processes: ")
    assert message("crash").startswith("item 0 ('crash'): the process that worked on it ended")


def test_items_are_taken_as_there_is_room_for_them(server):
    """Items without end, and large ones, are no trouble: they are taken from the iterable one by one."""
    job = """\
    import itertools
    from iocmng import ItemFailed, JobBase

    def size(item):
        if item[0] == 20:
            raise ValueError("enough")
        return len(item)

    class Endless(JobBase):
        def initialize(self):
            self.taken = 0

        def items(self):
            for number in itertools.count():
                self.taken += 1
                yield bytes([number]) * 5_000_000

        def execute(self):
            try:
                self.map(size, self.items(), max_parallel=1)
            except ItemFailed as error:
                return {"index": error.index, "taken": self.taken}
    """
    server.add("endless", {"endless.py": job})
    answer = server.http.post("/jobs/endless/run").json()
    assert answer["result"]["data"]["index"] == 20, answer
    assert answer["result"]["data"]["taken"] == 21


def test_what_may_be_mapped(server):
    """Functions of all kinds reach the workers, with the plugin's own modules, whatever these are called."""
    answer = server.add("portable", PORTABLE_FILES)
    assert answer.status_code == 201, answer.text
    for what, (function, expected) in PORTABLE.items():
        run = server.http.post("/jobs/portable/run", json={"parameters": {"function": function}}).json()
        assert run["result"]["data"] == expected, f"{what}: {run['result']['message']}"


def test_equal_module_names_do_not_meet(server):
    """Two jobs whose modules have the same names each get their own, one after the other."""
    for name, factor in (("first", 3), ("second", 5)):
        server.add(name, {"parallel.py": PARALLEL_JOB, "factor.py": f"FACTOR = {factor}\n"})
    for name, factor in (("first", 3), ("second", 5), ("first", 3)):
        items = server.http.post(f"/jobs/{name}/run").json()["result"]["data"]["items"]
        assert [item["result"] for item in items] == [factor * number for number in range(6)]
