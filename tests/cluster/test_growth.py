"""Nothing grows with the number of adds and removes: processes, file descriptors, memory, directories."""

import os
from pathlib import Path

import pytest
from faults import CONTROLLER, PROXY, REPLICA, tell, the_process
from support import MINIMAL_TASK, Server, wait_for

CYCLES = 200
WARM_UP = 40
"""Cycles after which caches are full and pools have their size."""

BYTES_PER_CYCLE = 20_000
"""Of resident memory, for what Ray and the allocator keep of each actor that has ended; 200 cycles are 4 MB."""

DESCRIPTORS = 10
"""By which the number of open files may differ: connections come and go."""

IDLE_WORKERS = os.cpu_count() + 1
"""Processes that Ray keeps for the next tasks: as many as CPUs, and one that it starts ahead."""

CONFIG = "pvs: {inputs: {SETPOINT: {type: float, value: 1.5}}}"


def watched(server):
    """Return the long-lived processes of a server by what they are."""
    return {
        "server": server.process.pid,
        "controller": the_process(server, CONTROLLER),
        "replica": the_process(server, REPLICA),
        "proxy": the_process(server, PROXY),
        "raylet": the_process(server, b"raylet/raylet"),
    }


def descriptors(pid):
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident(pid):
    """Return the bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def directories(server):
    """Return what lies in the state directory, by its place; the contents of the database's own files do not count."""
    state = server.plugins_dir / ".iocmng"
    return {str(path.relative_to(state)) for path in state.rglob("*")}


def measure(server):
    """Return the numbers of one moment: with no plugin, and one warm process."""
    wait_for(lambda: server.leftovers() == [], "nothing is left", 30)
    wait_for(lambda: len(server.plugin_processes()) == 1, "one warm process", 30)
    pids = watched(server)
    idle = set(server.processes_with(b"ray::IDLE"))
    return {
        "processes": len(server.descendants() - idle),
        "idle workers": len(idle),
        "descriptors": {what: descriptors(pid) for what, pid in pids.items()},
        "resident": {what: resident(pid) for what, pid in pids.items()},
        "directories": directories(server),
        "pids": pids,
    }


def cycle(server, number, url):
    """Add and remove one plugin, every second time under the same name."""
    name = "same" if number % 2 else f"p{number}"
    answer = server.http.post("/plugins", json={"name": name, "git_url": url})
    assert answer.status_code == 201, answer.text
    assert server.http.delete(f"/plugins/{name}").status_code == 200


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_cycles_leave_no_trace(tmp_path, capsys):
    """After a warm-up everything stays: the same processes, as many files, as much memory, the same directories."""
    server = Server(tmp_path, "GRO", IOCMNG_EVENTS_KEPT="100").wait_until_ready()
    try:
        server.repository("plugin", {"m.py": MINIMAL_TASK, "config.yaml": CONFIG})
        url = str(server.repositories / "plugin")
        for number in range(WARM_UP):
            cycle(server, number, url)
        before = measure(server)
        for number in range(CYCLES):
            cycle(server, number, url)
        after = measure(server)
    finally:
        assert server.stop() == 0, server.log.read_text()
    for key in ("processes", "idle workers", "descriptors", "resident"):
        tell(capsys, f"{key}: {before[key]} -> {after[key]}")
    assert after["pids"] == before["pids"]
    assert after["processes"] == before["processes"]
    assert after["idle workers"] <= IDLE_WORKERS
    assert after["directories"] == before["directories"]
    for what, count in before["descriptors"].items():
        assert after["descriptors"][what] <= count + DESCRIPTORS, what
    for what, size in before["resident"].items():
        assert after["resident"][what] - size <= CYCLES * BYTES_PER_CYCLE, what
