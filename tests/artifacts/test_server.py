"""iocmng-server as a program: settings, ports, tokens, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from listening_page import undocumented
from support import MINIMAL_TASK, Server, caget, free_port, is_gone, wait_for


def run_server(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to refuse to start."""
    return subprocess.run(
        [sys.executable, "-m", "iocmng", "server", *arguments],
        env=os.environ | {"IOCMNG_PLUGINS_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_port_that_is_taken_is_told_at_once(tmp_path):
    """One sentence that names the port and the setting, status 1, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_server(tmp_path, "--port", port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "IOCMNG_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"IOCMNG_PORT": "many"}, "port"),
        ({"IOCMNG_PREFIX": "A B"}, "prefix"),
        ({"IOCMNG_PLUGINS_DIR": "/proc/no/such/place", "IOCMNG_PORT": str(free_port())}, "IOCMNG_PLUGINS_DIR"),
        ({"IOCMNG_CONFIG": "/no/such/file.yaml"}, "/no/such/file.yaml"),
        ({"IOCMNG_PLUGINS_CONFIG": "/no/such/plugins.yaml", "IOCMNG_PORT": str(free_port())}, "/no/such/plugins.yaml"),
    ],
)
def test_a_setting_that_does_not_fit_is_wrong_usage(tmp_path, environment, words):
    """One sentence that names the setting, status 2, no traceback."""
    done = run_server(tmp_path, **environment)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.thorough
def test_haproxy_mode_with_a_token_and_a_clean_end(tmp_path):
    """HAProxy answers like Serve's own proxy; changes need the token; after SIGTERM no process of it is left."""
    plugins = tmp_path / "plugins.yaml"
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "m.py").write_text(MINIMAL_TASK)
    plugins.write_text("plugins:\n  - {name: good, path: good}\n  - {name: bad, path: nowhere}\n  - {nome: x}\n")
    server = Server(
        tmp_path / "server",
        "HAP",
        IOCMNG_SERVE_PROXY="haproxy",
        IOCMNG_HOST="127.0.0.1",
        IOCMNG_TOKEN="a token of this test",
        IOCMNG_PLUGINS_CONFIG=str(plugins),
        IOCMNG_LOCAL_ROOTS=str(tmp_path),
    ).wait_until_ready()
    try:
        assert server.get("good")["status"] == "running"
        assert server.get("bad")["status"] in ("invalid", "error")
        assert server.add("two", {"m.py": MINIMAL_TASK}).status_code == 401
        server.http.headers["Authorization"] = "Bearer a token of this test"
        assert server.add("two", {"m.py": MINIMAL_TASK}).status_code == 201
        assert caget("HAP:TWO:STATUS") == "RUN"
        assert undocumented(server) == []
        started = server.descendants()
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in server.plugin_processes()]
        assert environments
        assert not any(b"a token of this test" in environment for environment in environments)
    finally:
        status = server.stop()
    assert status == 0
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), "every process has ended")


@pytest.mark.thorough
def test_a_killed_server_takes_its_plugins_along(tmp_path):
    """After kill -9 of the server no IOC goes on alone: its PVs are gone, and another server may serve them."""
    server = Server(tmp_path, "KILLED").wait_until_ready()
    assert server.add("one", {"m.py": MINIMAL_TASK}).status_code == 201
    pid = server.get("one")["pid"]
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(10)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the plugin's process has ended")
    assert is_gone("KILLED:ONE:STATUS")
