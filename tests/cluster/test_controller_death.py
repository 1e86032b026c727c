"""The Controller, the replica or the proxy is killed: plugins never notice, and calls work again by themselves."""

import git
import pytest
from faults import (
    CONTROLLER,
    PROXY,
    REPLICA,
    Call,
    Monitor,
    answers_again,
    check_whole,
    kill,
    lives,
    of_server,
    served_again,
    tell,
    the_process,
)
from support import MINIMAL_TASK, Server, caget, caput, commit_files, wait_for

pytestmark = pytest.mark.thorough

CONFIG = "pvs: {inputs: {SETPOINT: {type: float, value: 1.5}}}"
FILES = {"m.py": MINIMAL_TASK, "config.yaml": CONFIG}

SLOW = MINIMAL_TASK.replace("def initialize(self):\n        pass", "def initialize(self):\n        import time\n"
"        time.sleep(1)")  # fmt: skip
"""Takes a second to start, and to be caught at it."""


@pytest.fixture(scope="module")
def one_server(tmp_path_factory):
    """A server of this module's own, because its parts are killed."""
    server = Server(
        tmp_path_factory.mktemp("mortal"), "CTL", IOCMNG_STOP_TIMEOUT="3", RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S="1"
    ).wait_until_ready()
    yield server
    processes = of_server(server)
    assert server.stop() == 0, server.log.read_text()
    wait_for(lambda: not any(lives(pid) for pid in processes), "every process has ended")


@pytest.fixture
def server(one_server):
    """The server with the plugins `one` and `two`, whose PVs must stay without a gap in the same processes."""
    for name in ("one", "two"):
        assert one_server.add(name, FILES).status_code == 201
    pids = {name: one_server.get(name)["pid"] for name in ("one", "two")}
    with Monitor("CTL:ONE:HEARTBEAT", "CTL:TWO:HEARTBEAT") as monitor:
        yield one_server
        assert "isconnected" not in monitor.end()
    assert {name: one_server.get(name)["pid"] for name in ("one", "two")} == pids
    for name in one_server.names():
        assert one_server.http.delete(f"/plugins/{name}").status_code == 200
    assert one_server.leftovers() == []


def kill_controller(server):
    """Kill -9 the Controller; return the moment."""
    return kill(the_process(server, CONTROLLER))


def test_a_new_controller_takes_over_what_runs(server, capsys):
    """Plugins run on; within seconds stop, start, restart and remove work again, on the same processes."""
    since = kill_controller(server)
    seconds = answers_again(server, "/plugins/one/generations", since)
    tell(capsys, f"calls work again {seconds:.2f} s after kill -9 of the Controller")
    wait_for(lambda: server.http.get("/readyz").status_code == 200, "ready")
    check_whole(server, {"one", "two"})
    plugin = server.get("one")
    assert (plugin["status"], plugin["restarts"], plugin["crashes"]) == ("running", 0, 0)
    assert plugin["built_pvs"]
    assert server.http.post("/plugins/one/stop").json()["plugin"]["status"] == "stopped"
    assert server.http.post("/plugins/one/start").json()["plugin"]["status"] == "running"
    assert server.add("three", FILES).status_code == 201
    assert server.http.post("/plugins/three/restart").status_code == 200
    assert server.http.delete("/plugins/three").status_code == 200
    check_whole(server, {"one", "two"})


def test_what_ended_while_there_was_no_controller_is_started_again(server):
    """Controller and a plugin killed together: the plugin comes back, with its setpoint."""
    server.add("three", FILES)
    caput("CTL:THREE:SETPOINT", 7.25)
    values = server.plugins_dir / ".iocmng" / "values" / "three"
    wait_for(lambda: any("7.25" in file.read_text() for file in values.glob("*.softsav")), "the setpoint is saved")
    pid = server.get("three")["pid"]
    since = kill_controller(server)
    kill(pid)
    wait_for(lambda: not lives(pid), "it has ended")
    answers_again(server, "/plugins/three/generations", since)
    served_again("CTL:THREE:SETPOINT", since)
    assert caget("CTL:THREE:SETPOINT") == "7.25"
    wait_for(lambda: server.get("three")["status"] == "running", "running")
    assert server.get("three")["generation"] == 1
    check_whole(server, {"one", "two", "three"})


def loading(server, *statuses):
    """Wait until the plugin `slow` has one of these statuses."""
    wait_for(lambda: server.http.get("/plugins/slow").json().get("status") in statuses, str(statuses), every=0.01)


def killed_during(server, call, *statuses):
    """Kill the Controller as soon as the plugin `slow` has one of these statuses; return the call's answer."""
    loading(server, *statuses)
    since = kill_controller(server)
    answer = call.answer
    answers_again(server, "/plugins/one/generations", since)
    wait_for(lambda: server.http.get("/readyz").status_code == 200, "ready")
    return answer


def test_in_the_middle_of_an_add(server):
    """The caller is told to try again; nothing is left of the plugin, and the next add of its name succeeds."""
    server.repository("slow", {"m.py": SLOW})
    body = {"name": "slow", "git_url": str(server.repositories / "slow")}
    answer = killed_during(server, Call(server, "POST", "/plugins", json=body), "loading")
    assert answer.status_code == 503, answer.text
    assert "try again" in answer.json()["detail"]
    check_whole(server, {"one", "two"})
    assert server.http.post("/plugins", json=body).status_code == 201
    check_whole(server, {"one", "two", "slow"})


@pytest.mark.slow
def test_in_the_middle_of_an_add_that_was_promised(server):
    """202 holds: the plugin is up after the Controller's death."""
    server.repository("slow", {"m.py": SLOW})
    body = {"name": "slow", "git_url": str(server.repositories / "slow")}
    assert server.http.post("/plugins?wait=false", json=body).status_code == 202
    since = kill_controller(server)
    answers_again(server, "/plugins/one/generations", since)
    wait_for(lambda: server.get("slow")["status"] == "running", "running")
    check_whole(server, {"one", "two", "slow"})


def test_in_the_middle_of_a_restart(server):
    """One IOC serves the PVs afterwards: of the old generation, or of the one that was asked for."""
    server.add("slow", {"m.py": SLOW})
    commit_files(git.Repo(server.repositories / "slow"), {"m.py": SLOW + "\n# another version\n"})
    call = Call(server, "POST", "/plugins/slow/restart")
    answer = killed_during(server, call, "restarting")
    assert answer.status_code in (200, 503), answer.text
    plugin = wait_for(lambda: (one := server.get("slow"))["status"] == "running" and one, "running")
    assert plugin["generation"] == 2 or answer.status_code == 503
    check_whole(server, {"one", "two", "slow"})
    assert server.http.post("/plugins/slow/restart").status_code == 200


def test_between_the_end_of_the_old_version_and_the_start_of_the_new_one(server, tmp_path):
    """The new version, which was being started, is started again: one IOC serves its PVs, with the setpoint."""
    mark = tmp_path / "begins"
    server.add("slow", FILES)
    caput("CTL:SLOW:SETPOINT", 7.25)
    beginning = SLOW.replace("time.sleep(1)", f"open({str(mark)!r}, 'a').close(); time.sleep(1)")
    new = commit_files(git.Repo(server.repositories / "slow"), {"m.py": beginning, "config.yaml": CONFIG})
    call = Call(server, "POST", "/plugins/slow/restart")
    wait_for(mark.exists, "the old version has ended, and initialize() of the new one has begun", every=0.005)
    since = kill_controller(server)
    assert call.answer.status_code == 503, call.answer.text
    answers_again(server, "/plugins/one/generations", since)
    plugin = wait_for(lambda: (one := server.get("slow"))["status"] == "running" and one, "running")
    assert (plugin["generation"], plugin["commit"]) == (2, new)
    assert caget("CTL:SLOW:SETPOINT") == "7.25"
    check_whole(server, {"one", "two", "slow"})


@pytest.mark.slow
def test_in_the_middle_of_a_remove(server):
    """The plugin is gone, or it is there as before: not half."""
    slow = MINIMAL_TASK.replace(
        "def cleanup(self):\n        pass", "def cleanup(self):\n        __import__('time').sleep(1)"
    )
    server.add("slow", {"m.py": slow})
    call = Call(server, "DELETE", "/plugins/slow")
    answer = killed_during(server, call, 404)  # no longer wanted, and its cleanup() runs
    expected = {"one", "two"}
    if "slow" in server.names():
        assert answer.status_code == 503, answer.text
        expected.add("slow")
    check_whole(server, expected)
    assert (server.http.delete("/plugins/slow").status_code == 200) == ("slow" in expected)


def test_the_api_comes_back(server, capsys):
    """Kill -9 of the replica, then of the proxy: calls are answered again, the plugins stay untouched."""
    for what, words in (("replica", REPLICA), ("proxy", PROXY)):
        since = kill(the_process(server, words))
        seconds = answers_again(server, "/plugins/one", since)
        tell(capsys, f"the API answers {seconds:.2f} s after kill -9 of the {what}")
    check_whole(server, {"one", "two"})
    assert server.http.post("/plugins/one/stop").status_code == 200
    assert server.http.post("/plugins/one/start").status_code == 200
