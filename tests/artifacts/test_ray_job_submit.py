"""`ray job submit` against a real dashboard with token authentication: jobs, plugins files, and who is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import MINIMAL_TASK, Server, caget, free_port, is_gone, write_files

pytestmark = pytest.mark.thorough

RAY = Path(sys.executable).with_name("ray")

AUTH = {"RAY_AUTH_MODE": "token"}
OTHER_TOKEN = {"RAY_AUTH_TOKEN": "another-token-of-at-least-32-characters"}

JOB = """\
import time

from iocmng import JobBase, JobResult


class Measures(JobBase):
    def initialize(self):
        pass

    def execute(self):
        self.report_progress(0.5, "half of it is done")
        x = self.parameters.get("x")
        time.sleep(5 if x == 1 else 0)
        return JobResult(x == 1, {"x": x}, f"x is {x}")
"""

TASK = MINIMAL_TASK


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with a Ray of its own, whose dashboard asks for the token that the server has made."""
    root = tmp_path_factory.mktemp("submit")
    dashboard = free_port()
    # PATH without our programs: a job finds iocmng all the same.
    ray = {"IOCMNG_RAY_DASHBOARD": "true", "IOCMNG_RAY_DASHBOARD_PORT": str(dashboard), "PATH": os.defpath}
    server = Server(root, "SUB", **ray).wait_until_ready()
    server.auth = AUTH | {"RAY_AUTH_TOKEN_PATH": str(server.plugins_dir / ".iocmng" / "ray.token")}
    server.dashboard = f"http://127.0.0.1:{dashboard}"
    assert server.add("measures", {"job.py": JOB}).status_code == 201
    yield server
    assert server.stop() == 0, server.log.read_text()


def clean_environment(**more):
    """Return an environment that says nothing of Ray or iocmng but this."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    return plain | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"} | more


def submit(server, *command, options=(), auth=None):
    """Submit a job; return the exit status of `ray job submit`, and its output."""
    done = subprocess.run(
        [RAY, "job", "submit", "--address", server.dashboard, *options, "--", *command],
        capture_output=True,
        text=True,
        env=clean_environment(**(auth or server.auth)),
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_job_shows_its_progress_and_its_result(server):
    """Status 0 for a success, 1 for a job that was none; the runs are the server's."""
    run = "iocmng job run measures --param"
    status, output = submit(server, "bash", "-c", f"{run} x=1 && {run} x=2")
    assert status == 1, output
    assert "50 %: half of it is done" in output
    assert 'x is 1\n{\n  "x": 1\n}\n' in output
    assert "failed: x is 2" in output
    assert "Traceback" not in output
    runs = server.http.get("/jobs/measures/runs").json()["runs"]
    assert [(run["state"], run["parameters"]) for run in runs] == [("failed", {"x": 2}), ("success", {"x": 1})]


@pytest.mark.slow
def test_a_plugins_file_comes_with_its_plugins(server, tmp_path):
    """Paths are relative to the file; the next apply of the same name removes what it names no longer."""
    entries = [{"name": "one", "path": "plugins/one"}, {"name": "two", "path": "plugins/two"}]
    write_files(tmp_path, {"plugins/one/m.py": TASK, "plugins/two/m.py": TASK})
    (tmp_path / "plugins.yaml").write_text(yaml.safe_dump({"plugins": entries}))
    apply = ("iocmng", "apply", "-f", "plugins.yaml")
    options = ("--working-dir", str(tmp_path))
    status, output = submit(server, *apply, options=options)
    assert status == 0, output
    assert "one added\ntwo added\n" in output
    assert caget("SUB:ONE:STATUS") is not None
    assert server.get("one")["owner"] == "ray-job/plugins.yaml"
    pid = server.get("one")["pid"]
    (tmp_path / "plugins.yaml").write_text(yaml.safe_dump({"plugins": entries[:1]}))
    status, output = submit(server, *apply, options=options)
    assert status == 0, output
    assert "one unchanged\n" in output
    assert "two removed\n" in output
    assert server.get("one")["pid"] == pid
    assert is_gone("SUB:TWO:STATUS")
    assert server.http.post("/plugins/one/restart").status_code == 200
    (tmp_path / "plugins" / "one" / "m.py").write_text("def broken(:\n")
    status, output = submit(server, *apply, options=options)
    assert status == 1, output
    assert "one failed: " in output
    assert server.get("one")["status"] == "running"
    server.http.delete("/plugins/one")


@pytest.mark.slow
def test_the_cluster_is_reached_from_a_node_too(server):
    """--cluster with the address that a job is told; answers are the server's own, and streams work."""
    status, output = submit(server, "printenv", "RAY_ADDRESS")
    assert status == 0, output
    address = re.search(r"^[\d.]+:\d+$", output, re.MULTILINE)
    assert address, output
    environment = clean_environment(RAY_ADDRESS=address[0], IOCMNG_URL="http://127.0.0.1:1", **server.auth)

    def iocmng(*arguments, **changes):
        command = [sys.executable, "-m", "iocmng", *arguments, "--cluster"]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment | changes, timeout=60, check=False
        )

    done = iocmng("get", "measures", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == server.get("measures")
    done = iocmng("get", "none")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "iocmng: there is no plugin 'none'\n")
    command = [sys.executable, "-m", "iocmng", "events", "measures", "-f", "--cluster"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as following:
        try:
            assert "measures: " in following.stdout.readline()
            server.http.post("/plugins/measures/restart")
            assert any("(restart)" in following.stdout.readline() for _ in range(50))
        finally:
            following.kill()
    done = iocmng("list", **OTHER_TOKEN)
    assert (done.returncode, done.stdout) == (3, "")
    assert "Traceback" not in done.stderr


def test_no_token_no_job(server):
    """Without the token, or with another one, nothing is run."""
    for auth in ({"RAY_AUTH_MODE": "disabled"}, AUTH | OTHER_TOKEN):
        status, output = submit(server, "iocmng", "remove", "measures", auth=auth)
        assert status != 0, output
    assert server.names() == {"measures"}


def test_a_cluster_without_iocmng(tmp_path):
    """Status 3 and a sentence; no Controller is started by asking for one."""
    code = (
        "import ray, sys\n"
        "ray.init('local', include_dashboard=False, num_cpus=1, object_store_memory=100_000_000)\n"
        "print(ray.get_runtime_context().gcs_address, flush=True)\n"
        "sys.stdin.readline()\n"
        "print(ray.util.list_named_actors(all_namespaces=True), flush=True)\n"
    )
    environment = clean_environment(RAY_AUTH_MODE="disabled", RAY_memory_monitor_refresh_ms="0")
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as ray:
        try:
            address = ray.stdout.readline().strip()
            done = subprocess.run(
                [sys.executable, "-m", "iocmng", "list", "--cluster"],
                capture_output=True,
                text=True,
                env=environment | {"RAY_ADDRESS": address},
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stdout) == (3, "")
            assert done.stderr.startswith(f"iocmng: no iocmng runs in the Ray cluster at {address}")
            assert ray.communicate("\n", timeout=30)[0].strip() == "[]"
        finally:
            ray.kill()


def test_a_dashboard_for_everyone_needs_a_token(tmp_path):
    """A server refuses to open a dashboard to other machines on which anyone could run code; status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "iocmng", "server"],
        capture_output=True,
        text=True,
        env=clean_environment(
            IOCMNG_PLUGINS_DIR=str(tmp_path),
            IOCMNG_RAY_DASHBOARD="true",
            IOCMNG_RAY_DASHBOARD_HOST="0.0.0.0",
            RAY_AUTH_MODE="disabled",
            IOCMNG_PORT=str(free_port()),
        ),
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "IOCMNG_RAY_DASHBOARD_HOST" in done.stderr
    assert "RAY_AUTH_MODE" in done.stderr
