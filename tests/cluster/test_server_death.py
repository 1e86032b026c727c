"""The whole server is killed: the next one on the same directory brings back what was answered, and nothing else."""

import random
import shutil
import time

import pytest
from faults import Call, check_whole, kill_everything, of_server, tell
from support import MINIMAL_TASK, Server, caget, caput, commit_files, is_gone, wait_for

pytestmark = pytest.mark.thorough

TRACED = """\
import time
from iocmng import TaskBase


class Traced(TaskBase):
    def initialize(self):
        self.note("initialize")
        time.sleep(self.parameters.get("start_seconds", 0))
        self.set_pv("ECHO", self.parameters.get("echo", 1))

    def execute(self):
        pass

    def cleanup(self):
        time.sleep(self.parameters.get("end_seconds", 0))
        self.note("cleanup")

    def note(self, what):
        with open(self.parameters["trace"], "a") as trace:
            trace.write(f"{what} {self.name}\\n")
"""

CONFIG = """\
pvs:
  inputs: {SETPOINT: {type: float, value: 1.5}}
  outputs: {ECHO: {type: int}}
"""

FILES = {"traced.py": TRACED, "config.yaml": CONFIG}


def start(root):
    """Start a server in this directory, and return it when it is ready."""
    return Server(root, "DIE", IOCMNG_STOP_TIMEOUT="5", IOCMNG_INITIALIZE_TIMEOUT="20").wait_until_ready()


def add(server, name, *, wait=True, **body):
    """Add the traced task from the repository `traced`; return the answer."""
    parameters = {"trace": str(server.root / "trace"), **body.pop("parameters", {})}
    body |= {"name": name, "git_url": str(server.repositories / "traced"), "parameters": parameters}
    return server.http.post(f"/plugins?wait={str(wait).lower()}", json=body)


def trace(server):
    """Return what the traced tasks have noted."""
    return (server.root / "trace").read_text().splitlines()


@pytest.fixture
def root(tmp_path):
    """A directory for one server after the other; whatever the test leaves running is killed."""
    servers = []

    def begin():
        servers.append(start(tmp_path))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            kill_everything(server)


@pytest.mark.timeout(300)
def test_everything_that_was_answered_comes_back(root, capsys):
    """Same commit without the repository, parameters, setpoints, order; stop lasts, auto_start_on_boot decides."""
    server = root()
    repository = server.repository("traced", FILES)
    for name, body in {
        "kept": {"parameters": {"echo": 7}, "autostart_order": 2},
        "first": {"autostart_order": 1},
        "stopped": {},
        "wakes": {"auto_start_on_boot": True, "auto_start": False},
        "rests": {"auto_start_on_boot": False},
    }.items():
        assert add(server, name, **body).status_code == 201
    assert server.http.post("/plugins/stopped/stop").status_code == 200
    commit = server.get("kept")["commit"]
    assert commit_files(repository, {"traced.py": TRACED.replace("ECHO", "OTHER")}) != commit
    assert server.add("refused", {"m.py": "no python"}).status_code == 422
    server.repository("faulty", {"m.py": "no python"})
    faulty = {"name": "faulty", "git_url": str(server.repositories / "faulty")}
    assert server.http.post("/plugins?wait=false", json=faulty).status_code == 202
    wait_for(lambda: server.get("faulty")["status"] == "invalid", "rejected")
    caput("DIE:KEPT:SETPOINT", 7.25)
    values = server.plugins_dir / ".iocmng" / "values" / "kept"
    wait_for(lambda: any("7.25" in file.read_text() for file in values.glob("*.softsav")), "the setpoint is saved")
    server.repository("late", {"m.py": MINIMAL_TASK})
    late = {"name": "late", "git_url": str(server.repositories / "late")}
    assert server.http.post("/plugins?wait=false", json=late).status_code == 202
    kill_everything(server)
    shutil.rmtree(server.repositories / "traced")
    (server.root / "trace").unlink()

    began = time.monotonic()
    server = root()
    tell(capsys, f"all plugins again {time.monotonic() - began:.1f} s after the start of the next server")
    status = {name: server.get(name)["status"] for name in server.names()}
    assert status == {
        "kept": "running",
        "first": "running",
        "stopped": "loaded",
        "wakes": "running",
        "rests": "loaded",
        "faulty": "invalid",
        "late": "running",
    }
    plugin = server.get("kept")
    assert (plugin["commit"], plugin["generation"], plugin["start_parameters"]["echo"]) == (commit, 1, 7)
    assert (caget("DIE:KEPT:ECHO"), caget("DIE:KEPT:SETPOINT")) == ("7", "7.25")
    assert [line for line in trace(server) if line.startswith("initialize")][:2] == [
        "initialize first",
        "initialize kept",
    ]
    assert "stopped" not in " ".join(trace(server))
    assert server.get("faulty")["validation"]["errors"]
    for name in ("first", "stopped", "wakes", "rests", "faulty", "late"):
        assert server.http.delete(f"/plugins/{name}").status_code == 200
    check_whole(server, {"kept"})
    assert server.leftovers() == []
    (server.root / "trace").unlink()
    sigterm_in_the_middle_of_an_add(server)


def sigterm_in_the_middle_of_an_add(server):
    """SIGTERM while a plugin is being started: status 0, cleanup() of every task that ran, no process is left."""
    server.repository("traced", FILES)
    assert add(server, "other").status_code == 201
    call = call_add(server, "slow", start_seconds=10)
    wait_for(lambda: "initialize slow" in trace(server), "it is being started")
    processes = of_server(server)
    assert processes
    assert server.stop() == 0, server.log.read_text()
    assert {"cleanup kept", "cleanup other"} <= set(trace(server))
    assert call.answer is None or call.answer.status_code == 503, call.answer.text
    assert is_gone("DIE:KEPT:STATUS")
    wait_for(lambda: not of_server(server), "every process has ended")
    assert "Traceback" not in server.log.read_text()


def call_add(server, name, **parameters):
    """Begin to add the traced task."""
    parameters |= {"trace": str(server.root / "trace")}
    body = {"name": name, "git_url": str(server.repositories / "traced"), "parameters": parameters}
    return Call(server, "POST", "/plugins", json=body)


def kill_at_moments(root, moments):
    """Kill a server at each of these moments of an add and a remove; check what the next one makes of it."""
    server = root()
    server.repository("traced", FILES)
    assert add(server, "stays").status_code == 201
    for moment in moments:
        assert add(server, "old", parameters={"end_seconds": 0.3}).status_code == 201
        adding = call_add(server, "new", start_seconds=0.3)
        removing = Call(server, "DELETE", "/plugins/old")
        time.sleep(moment)
        kill_everything(server)
        added, removed = adding.answer, removing.answer
        server = root()
        names = server.names()
        where = f"killed after {moment:.3f} s; answers {added} {removed}"
        assert "stays" in names, where
        assert added is None or (added.status_code == 201) == ("new" in names), where
        assert removed is None or (removed.status_code == 200) == ("old" not in names), where
        check_whole(server, names)
        assert all(server.get(name)["status"] == "running" for name in names), where
        for name in names - {"stays"}:
            assert server.http.delete(f"/plugins/{name}").status_code == 200
        assert server.leftovers() == [], where
    assert server.stop() == 0


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_killed_during_an_add_and_a_remove(root):
    """Two moments: while files are fetched, and while processes start and end."""
    kill_at_moments(root, [0.15, 0.9])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_twenty_moments_of_an_add_and_a_remove(root, capsys):
    """Twenty moments between the calls and a time when both are answered for certain."""
    seed = random.randrange(2**32)
    tell(capsys, f"seed {seed}")
    chance = random.Random(seed)
    kill_at_moments(root, [chance.uniform(0, 2.5) for _ in range(20)])
