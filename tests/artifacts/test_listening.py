"""What a default server listens on: no more than docs/reference/listening.md tells, and nobody in without a token."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from listening import listening_sockets
from listening_page import PAGE, undocumented
from support import MINIMAL_TASK, Server

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with nothing set but where it keeps its files, and one plugin."""
    made = Server(tmp_path_factory.mktemp("listens"), "LIS").wait_until_ready()
    assert made.add("one", {"m.py": MINIMAL_TASK}).status_code == 201
    yield made
    assert made.stop() == 0, made.log.read_text()


def test_a_default_server_listens_where_the_page_says(server):
    """Each socket stands in the table; all but those of EPICS are on the loopback interface."""
    assert undocumented(server) == []
    sockets = listening_sockets({server.process.pid, *server.descendants()})
    assert {one.process for one in sockets if not one.is_loopback} == {"ray::PluginProcess"}


def test_the_table_is_not_wider_than_the_truth(server):
    """Each process of the first table does listen; those with one fixed port do where no other Ray has taken it."""
    sockets = listening_sockets({server.process.pid, *server.descendants()})
    first = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    named = set(re.findall(r"^\| `([^`]+)` \| \w+ \| (?:free|`IOCMNG_PORT`)", first, re.MULTILINE))
    assert len(named) >= 6
    assert {name for name in named if not any(one.process.startswith(name) for one in sockets)} == set()


def gcs_address(server: Server) -> str:
    """Return the address of the server's own Ray."""
    sockets = listening_sockets(server.descendants())
    return next(f"127.0.0.1:{one.port}" for one in sockets if one.process == "gcs_server")


def ask_ray(server: Server, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask the server's Ray for the names of its actors, as any program of this machine may try."""
    code = (
        "import ray, sys\n"
        "ray.init(sys.argv[1], logging_level='error')\n"
        "print(sorted(actor['name'] for actor in ray.util.list_named_actors(all_namespaces=True)))\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    settings = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "5", **environment}
    return subprocess.run(
        [sys.executable, "-c", code, gcs_address(server)],
        env=clean | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_ray_lets_nobody_in_without_its_token(server, tmp_path):
    """The token is made by the server, for its user alone; another one, or none, is refused."""
    token = server.plugins_dir / ".iocmng" / "ray.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) >= 64
    other = tmp_path / "other"
    other.write_text("0" * 64)
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(other)}):
        refused = ask_ray(server, **environment)
        assert refused.returncode != 0
        assert "ontroller" not in refused.stdout
    done = ask_ray(server, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    assert done.returncode == 0, done.stderr
    assert "controller" in done.stdout.lower()


def test_the_cluster_is_reached_by_the_state_directory(server):
    """`iocmng list --cluster` on the server's machine takes the token from the state directory."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    settings = {"RAY_ADDRESS": gcs_address(server), "IOCMNG_PLUGINS_DIR": str(server.plugins_dir)}
    done = subprocess.run(
        [sys.executable, "-m", "iocmng", "list", "--cluster"],
        env=clean | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "one" in done.stdout


def test_no_process_reports_usage(server):
    """Ray is told not to report how it is used, in every process that could.

    A process that gives itself a title (ray::…) writes it over its environment in /proc. Its parent's is to be seen.
    """
    told, untold = [], []
    for pid in server.descendants():
        with contextlib.suppress(FileNotFoundError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if not command.startswith(b"ray::") and any(one.startswith(b"RAY_") for one in variables):
                (told if b"RAY_USAGE_STATS_ENABLED=0" in variables else untold).append(command[:200])
    assert untold == []
    for program in (b"/raylet/raylet", b"/gcs/gcs_server"):
        assert [command for command in told if program in command], told
    assert list(session_directory(server).glob("usage_stats.json")) == []


def session_directory(server: Server) -> Path:
    """Return the directory of the server's Ray session."""
    for pid in server.processes_with(b"/raylet/raylet"):
        named = re.search(rb"--session_dir=([^\0]+)", Path(f"/proc/{pid}/cmdline").read_bytes())
        if named:
            return Path(os.fsdecode(named[1]))
    raise AssertionError("no raylet was found")


def test_the_endpoint_is_that_of_the_machine(server):
    """Although Ray is on the loopback interface, a plugin shows the address at which other machines find its PVs."""
    route = subprocess.run(["ip", "-4", "route", "get", "192.0.2.1"], capture_output=True, text=True, check=False)
    source = re.search(r"\bsrc (\S+)", route.stdout)
    if source is None:
        pytest.skip("this machine has no address but the loopback one")
    assert server.get("one")["endpoint"]["host"] == source[1]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RAY_AUTH_MODE": "open"}, "RAY_AUTH_MODE"),
        ({"RAY_AUTH_MODE": "disabled", "IOCMNG_RAY_HOST": "192.0.2.9"}, "IOCMNG_RAY_HOST"),
        ({"IOCMNG_RAY_HOST": "0.0.0.0"}, "ray_host"),
        ({"IOCMNG_RAY_HOST": "a.example.org"}, "ray_host"),
        ({"IOCMNG_RAY_HOST": "203.0.113.7"}, "IOCMNG_RAY_HOST"),
        ({"RAY_AUTH_TOKEN_PATH": "/no/such/token"}, "/no/such/token"),
        ({"RAY_AUTH_TOKEN_PATH": "/dev/null"}, "/dev/null"),
    ],
)
def test_what_would_open_ray_is_refused(tmp_path, environment, words):
    """One sentence that names the setting, status 2, and nothing is started."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "iocmng", "server"],
        env=clean | {"IOCMNG_PLUGINS_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("*.token")) == []


def test_joining_with_a_wrong_token_is_told_in_a_sentence(server, tmp_path):
    """A server that joins the Ray of another one without its token ends with one sentence, status 1."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    settings = {"IOCMNG_PLUGINS_DIR": str(tmp_path), "RAY_ADDRESS": gcs_address(server), "RAY_AUTH_MODE": "token"}
    done = subprocess.run(
        [sys.executable, "-m", "iocmng", "server"],
        env=clean | settings | {"RAY_AUTH_TOKEN": "1" * 64, "RAY_gcs_rpc_server_reconnect_timeout_s": "5"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot start or join Ray" in done.stderr
    assert "Traceback" not in done.stderr
