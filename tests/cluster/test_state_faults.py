"""The state cannot be written, is damaged, or is somebody else's: a clear sentence, and nothing is lost."""

import contextlib
import os
import subprocess
import sys

import pytest
from faults import check_whole, events, kill, lives
from support import LOOPBACK, MINIMAL_TASK, Server, caget, caput, free_port, wait_for

from iocmng.settings import Settings
from iocmng.store import open_store

pytestmark = pytest.mark.thorough

CONFIG = "{parameters: {interval: 0.1}, pvs: {inputs: {SETPOINT: {type: float, value: 1.5}}}}"
FILES = {"m.py": MINIMAL_TASK, "config.yaml": CONFIG}


@pytest.fixture
def small_disk(tmp_path):
    """The plugins directory of a server on a disk of six megabytes."""
    directory = tmp_path / "plugins"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", directory], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs a mount, and that needs root: {mounted.stderr.strip()}")
    yield directory
    wait_for(
        lambda: subprocess.run(["umount", directory], capture_output=True, check=False).returncode == 0, "unmounted"
    )


def fill(directory):
    """Fill a disk to the last byte; return the file that does it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"\0" * 4096)
    return filler


@pytest.mark.timeout(240)
def test_a_full_disk_refuses_changes_and_stops_nothing(small_disk, tmp_path):
    """Changes: 502 or 503 with the reason. Plugins, puts, reads and supervision go on; with room all is as before."""
    server = Server(tmp_path, "FULL", IOCMNG_STOP_TIMEOUT="5").wait_until_ready()
    try:
        for name in ("one", "two"):
            assert server.add(name, FILES).status_code == 201
        pid = server.get("one")["pid"]
        server.repository("three", FILES)
        filler = fill(small_disk)
        refused_everywhere(server)
        goes_on(server, pid)
        filler.unlink()
        works_again(server)
    finally:
        assert server.stop() == 0, server.log.read_text()


def refused_everywhere(server):
    """Each change is refused with what is wrong, and changes nothing."""
    body = {"name": "three", "git_url": str(server.repositories / "three")}
    for answer in (
        server.http.post("/plugins", json=body),
        server.http.post("/plugins?wait=false", json=body | {"parameters": {"large": "x" * 100_000}}),
        server.http.patch("/plugins/one", json={"parameters": {"large": "x" * 100_000}}),
    ):
        assert answer.status_code in (502, 503), answer.text
        detail = answer.json()["detail"]
        assert "space" in detail or "full" in detail, detail
        assert "check git_url" not in detail
        assert "Traceback" not in detail
    check_whole(server, {"one", "two"})


def goes_on(server, pid):
    """What runs goes on, also what has to be started again."""
    assert server.get("one")["pid"] == pid
    cycles = int(caget("FULL:ONE:CYCLE_COUNT"))
    wait_for(lambda: int(caget("FULL:ONE:CYCLE_COUNT")) > cycles, "cycles go on")
    caput("FULL:ONE:SETPOINT", 7.25)
    assert caget("FULL:ONE:SETPOINT") == "7.25"
    wait_for(lambda: any("cannot save PV values" in line for line in logs(server)), "it is told once in the log")
    assert sum("cannot save PV values" in line for line in logs(server)) == 1
    other = server.get("two")["pid"]
    kill(other)
    wait_for(lambda: not lives(other) and server.get("two")["status"] == "running", "supervised on a full disk, too")
    for path in ("/plugins", "/plugins/one", "/plugins/one/generations", "/plugins/one/events", "/pvs", "/health"):
        assert server.http.get(path).status_code == 200, path
    assert "crashed" in [event["status"] for event in events(server, "two")]


def logs(server):
    """Return the log lines of the plugin `one`."""
    return server.http.get("/plugins/one/logs?tail=1000").json()["lines"]


def works_again(server):
    """Everything can be changed again, and what waited is written."""
    values = server.plugins_dir / ".iocmng" / "values" / "one"
    wait_for(lambda: any("7.25" in file.read_text() for file in values.glob("*.softsav")), "the setpoint is saved")
    assert server.add("three", FILES).status_code == 201
    assert server.http.patch("/plugins/one", json={"parameters": {"large": "x" * 100_000}}).status_code == 200
    assert caget("FULL:ONE:SETPOINT") == "7.25"
    assert server.http.delete("/plugins/two").status_code == 200
    check_whole(server, {"one", "three"})
    assert "crashed" in [event["status"] for event in server.http.get("/plugins/two/events").json()["events"]]


def refused_start(tmp_path, plugins_dir):
    """Start a server that must not start; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "iocmng", "server"],
        env=os.environ | LOOPBACK | {"IOCMNG_PLUGINS_DIR": str(plugins_dir), "IOCMNG_PORT": str(free_port())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode not in (0, None), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("damage", ["overwritten", "cut short", "emptied"])
def test_a_damaged_state_is_refused_and_left_as_it_is(tmp_path, damage):
    """The server says which file, what is wrong and the way out; it never empties or moves the file."""
    open_store(Settings(plugins_dir=tmp_path)).close()
    file = tmp_path / ".iocmng" / "state.sqlite"
    whole = file.read_bytes()
    broken = {"overwritten": b"\xff" * 2000 + whole[2000:], "cut short": whole[: len(whole) // 2], "emptied": b""}
    file.write_bytes(broken[damage])
    text = refused_start(tmp_path, tmp_path)
    assert str(file) in text
    assert "state.sqlite.good" in text or "move" in text
    assert file.read_bytes() == broken[damage]


def test_a_second_server_on_the_same_state_is_refused(shared_server, tmp_path):
    """It names the process that uses the state and the setting for another one; the first server goes on."""
    text = refused_start(tmp_path, shared_server.plugins_dir)
    assert "another iocmng server" in text
    assert "IOCMNG_STATE_DIR" in text
    assert shared_server.http.get("/readyz").status_code == 200
