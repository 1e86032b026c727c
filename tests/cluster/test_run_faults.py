"""The Controller or the whole server is killed in the middle of runs: nothing is told as done that is not known."""

import pytest
from faults import CONTROLLER, answers_again, kill, kill_everything, lives, the_process
from support import Server, caget, tool, wait_for
from test_runs import CONFIG, add, begin, ended, run_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def kill_controller(server):
    """Kill -9 the Controller, and return when another one answers."""
    answers_again(server, "/jobs/two/runs", kill(the_process(server, CONTROLLER)))


def test_the_controllers_death_in_the_middle_of_runs(tmp_path):
    """What runs goes on and ends as what it was, what waits is kept and waits for that, RUN is taken afterwards."""
    server = Server(tmp_path, "RCD").wait_until_ready()
    try:
        add(server, "one")
        pid = add(server, "two", CONFIG + "concurrency: 2\n")["pid"]
        gates = [tmp_path / name for name in "abc"]
        running = [begin(server, "two", gate=str(gate), out=2) for gate in gates[:2]]
        wait_for(lambda: run_of(server, "two", running[1])["progress"] == 50, "both are at work", 60)
        waiting = begin(server, "two", out=3)
        single, after = begin(server, "one", gate=str(gates[2])), begin(server, "one")
        wait_for(lambda: run_of(server, "one", single)["progress"] == 50, "it is at work")
        processes = set(server.plugin_processes())
        kill_controller(server)
        assert [run_of(server, "two", number)["state"] for number in running] == ["running", "running"]
        assert run_of(server, "two", waiting)["state"] == "queued"
        assert run_of(server, "one", single)["state"] == "running"
        assert run_of(server, "one", after)["state"] == "queued"
        assert server.get("two")["pid"] == pid
        assert server.get("one")["runs"]["running"] == [single]
        assert all(lives(pid) for pid in processes if pid in set(server.plugin_processes()))
        gates[1].touch()  # the one in the further process, which then takes what waits
        assert ended(server, "two", running[1], 60)["state"] == "success"
        assert ended(server, "two", waiting, 60)["state"] == "success"
        wait_for(lambda: caget("RCD:TWO:STATUS") == "SUCCESS", "the PVs show the newest run")
        kill(the_process(server, CONTROLLER))
        gates[2].touch()  # it ends while there is no Controller
        wait_for(lambda: caget("RCD:ONE:STATUS") == "SUCCESS", "the run has ended")
        answers_again(server, "/jobs/two/runs", 0)
        assert ended(server, "one", single, 60)["state"] == "success", "STATUS and REST agree"
        assert ended(server, "one", after)["state"] == "success"
        assert caget("RCD:ONE:DONE") == "2", "each was done once"
        assert run_of(server, "two", running[0])["state"] == "running"
        gates[0].touch()
        assert ended(server, "two", running[0])["state"] == "success"
        kill(the_process(server, CONTROLLER))
        tool("caput", "-w", "2", "RCD:ONE:RUN", "1")
        [run] = wait_for(
            lambda: _found(server, "one", after),
            "the next Controller takes note of RUN",
            40,
        )
        assert run["cause"] == "pv"
    finally:
        assert server.stop() == 0, server.log.read_text()


def _found(server, name, before):
    """Return the runs above a number, once the server answers."""
    answer = server.http.get(f"/jobs/{name}/runs")
    return answer.status_code == 200 and [run for run in answer.json()["runs"] if run["run_id"] > before]


def test_the_servers_death_in_the_middle_of_runs(tmp_path):
    """What ran and what waited is lost, says why, and is not started by itself; numbers go on."""
    server = Server(tmp_path, "RSD").wait_until_ready()
    try:
        add(server, "one")
        first, second = begin(server, "one", gate=str(tmp_path / "never")), begin(server, "one")
        wait_for(lambda: run_of(server, "one", first)["progress"] == 50, "it is at work")
        kill_everything(server)
        server = Server(tmp_path, "RSD").wait_until_ready()
        wait_for(lambda: caget("RSD:ONE:STATUS") == "IDLE", "the job is up")
        found = server.http.get("/jobs/one/runs").json()["runs"]
        assert [(run["run_id"], run["state"]) for run in found] == [(second, "lost"), (first, "lost")]
        assert "must not move unasked" in found[0]["message"]
        assert (found[0]["started_at"], caget("RSD:ONE:DONE")) == (None, "0")
        assert server.http.post("/jobs/one/run").json()["run_id"] == second + 1
        third = begin(server, "one", gate=str(tmp_path / "never"))
        wait_for(lambda: run_of(server, "one", third)["progress"] == 50, "it is at work")
    finally:
        assert server.stop() == 0, server.log.read_text()
    server = Server(tmp_path, "RSD").wait_until_ready()
    try:
        run = run_of(server, "one", third)
        assert (run["state"], "the server was stopped" in run["message"]) == ("cancelled", True)
    finally:
        assert server.stop() == 0, server.log.read_text()
