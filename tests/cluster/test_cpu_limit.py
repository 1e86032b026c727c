"""Shares of the CPU on a real server, in a control group that is left to it; skipped where there can be none."""

import shlex
import sys
import time

import pytest
from delegated_group import in_group, why_no_share
from faults import kill
from support import Server, caget, wait_for

BUSY = """\
import time

from iocmng import TaskBase


class Busy(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass

    def cleanup(self):
        pass
"""


def busy(limits):
    return {"busy.py": BUSY, "config.yaml": f"parameters: {{interval: 0.1}}\nlimits: {limits}\n"}


@pytest.fixture
def server(delegated, tmp_path):
    """A server in the group, whose site gives each plugin one core."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.join(in_group(delegated, sys.executable))} "$@"\n')
    python.chmod(0o755)
    server = Server(tmp_path, "CPU", str(python), IOCMNG_PLUGIN_CPU="1", IOCMNG_CRASH_BACKOFF="0.2")
    yield server.wait_until_ready()
    assert server.stop() == 0


def cpu_seconds(group):
    (line,) = (line for line in (group / "cpu.stat").read_text().splitlines() if line.startswith("usage_usec"))
    return int(line.split()[1]) / 1e6


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_busy_plugin_gets_its_share(server, delegated):
    """About 0.3 cores and no more, while its PVs answer; its group goes with its process, however that ends."""

    def group_of(name):
        return delegated / f"iocmng-plugin-{name}-{server.get(name)['pid']}"

    added = server.add("busy", busy("{cpu: 300m}"))
    assert added.status_code == 201, added.text
    group = group_of("busy")
    began, used = time.monotonic(), cpu_seconds(group)
    wait_for(lambda: time.monotonic() > began + 4, "it has been busy for a while")
    share = (cpu_seconds(group) - used) / (time.monotonic() - began)
    assert 0.15 < share < 0.4
    assert caget("CPU:BUSY:STATUS") == "RUN"
    assert server.get("busy")["validation"]["warnings"] == []
    assert server.add("plain", busy("{}")).status_code == 201
    assert (group_of("plain") / "cpu.max").read_text() == "20000 20000\n"
    assert not (delegated / "cgroup.procs").read_text()
    assert len((delegated / "iocmng-server" / "cgroup.procs").read_text().split()) > 3
    refused = server.add("greedy", busy("{cpu: 2}"))
    assert refused.status_code == 422
    assert "limits.cpu: 2 is more than this server allows a plugin; ask for 1 or less" in refused.json()["detail"]
    kill(server.get("busy")["pid"])
    wait_for(lambda: group_of("busy") != group and server.get("busy")["status"] == "running", "it is back", 60)
    assert group_of("busy").exists()
    wait_for(lambda: not group.exists(), "the group of the dead process is gone")
    for name in ("busy", "plain"):
        group = group_of(name)
        assert server.http.delete(f"/plugins/{name}").status_code == 200
        wait_for(lambda group=group: not group.exists(), f"the group of {name} is gone")


def test_a_server_does_not_start_where_the_site_s_share_cannot_be_kept(tmp_path):
    """The sentence says why, and what to do."""
    reason = why_no_share()
    if reason is None:
        pytest.skip("this machine can keep it")
    server = Server(tmp_path, "CPU", IOCMNG_PLUGIN_CPU="500m")
    assert server.process.wait(30) == 2
    assert f"IOCMNG_PLUGIN_CPU cannot be kept: {reason}; leave the setting out" in server.log.read_text()
