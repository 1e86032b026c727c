"""How a server ends: in good order, within a limit, or leaving its plugins running."""

import signal
from pathlib import Path

import pytest
from support import Server, caget, caput, is_gone, stop_kept, wait_for

pytestmark = pytest.mark.thorough

SETPOINT = """\
from iocmng import TaskBase


class Setpoint(TaskBase):
    def initialize(self):
        self.logger.info("starts with %s", self.get_pv("SET"))

    def execute(self):
        pass

    def cleanup(self):
        with open(self.parameters["trace"], "a") as trace:
            trace.write(self.name + "\\n")
        if self.parameters.get("hang"):
            import time
            time.sleep(3600)
"""

CONFIG = "pvs:\n  inputs: {SET: {type: float}}\n"


def add(server, name, tmp_path, **parameters):
    """Add a task that notes its cleanup()."""
    files = {"setpoint.py": SETPOINT, "config.yaml": CONFIG}
    answer = server.add(name, files, parameters={"trace": str(tmp_path / "trace"), **parameters})
    assert answer.status_code == 201, answer.text


def test_sigterm_runs_every_cleanup_and_keeps_values(tmp_path):
    """cleanup() of all, values flushed, exit 0 although one cleanup() hangs; a new server has the values."""
    server = Server(tmp_path / "a", "END", IOCMNG_STOP_TIMEOUT="3").wait_until_ready()
    add(server, "one", tmp_path)
    add(server, "two", tmp_path, hang=True)
    caput("END:ONE:SET", 4.5)
    processes = server.descendants()
    assert server.stop() == 0
    assert sorted((tmp_path / "trace").read_text().split()) == ["one", "two"]
    wait_for(lambda: not [pid for pid in processes if Path(f"/proc/{pid}").exists()], "all processes gone")
    again = Server(tmp_path / "a", "END", IOCMNG_STOP_TIMEOUT="3").wait_until_ready()
    try:
        wait_for(lambda: caget("END:ONE:SET") == "4.5", "the setpoint")
        lines = again.http.get("/plugins/one/logs").json()["lines"]
        assert any(line.endswith("starts with 4.5") for line in lines)
    finally:
        assert again.stop() == 0


@pytest.fixture
def kept(tmp_path):
    """Return a maker of servers on one state directory; afterwards nothing of them is left."""
    made = []

    def make(**environment):
        made.append(Server(tmp_path / "kept", "KEP", **environment))
        return made[-1].wait_until_ready()

    yield make
    stop_kept(made[-1])


@pytest.mark.slow
def test_keep_leaves_the_plugins_running_and_a_later_server_joins_them(kept, tmp_path):
    """The API goes down by SIGTERM, then by kill -9: same processes, same PVs. --stop ends them in good order."""
    first = kept(IOCMNG_KEEP="true")
    add(first, "one", tmp_path)
    pid = first.get("one")["pid"]
    assert first.stop() == 0
    assert caget("KEP:ONE:STATUS") == "RUN"
    second = kept(IOCMNG_KEEP="true")
    assert second.get("one")["pid"] == pid
    second.process.send_signal(signal.SIGKILL)
    second.process.wait(10)
    assert caget("KEP:ONE:STATUS") == "RUN"
    third = kept(IOCMNG_KEEP="true")
    assert third.get("one")["pid"] == pid
    assert third.stop() == 0
    ended = stop_kept(third)
    assert ended.returncode == 0, ended.stderr
    assert is_gone("KEP:ONE:STATUS")
    assert (tmp_path / "trace").read_text() == "one\n"
    again = stop_kept(third)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
