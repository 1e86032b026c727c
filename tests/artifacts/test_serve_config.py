"""serve_config/*.yaml and `serve run` give the same service as iocmng-server."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest
import yaml
from faults import kill, lives
from support import LOOPBACK, MINIMAL_TASK, caget, descendants_of, free_port, make_repository, wait_for

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CONFIG = ROOT / "serve_config" / "iocmng.yaml"


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return the environment of a cluster's head."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    return (
        clean
        | LOOPBACK
        | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",
            "IOCMNG_PREFIX": "SERVED",
            "IOCMNG_PLUGINS_DIR": str(tmp_path / "plugins"),
            "IOCMNG_LOCAL_ROOTS": str(tmp_path),
            **more,
        }
    )


def config_for(tmp_path: Path, port: int, host: str = "127.0.0.1") -> Path:
    """Return the shipped config with another port and address."""
    config = yaml.safe_load(CONFIG.read_text())
    config["http_options"] |= {"port": port, "host": host}
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def head(tmp_path):
    """A Ray head with a dashboard, as `ray start --head` makes it; ended with all its processes."""
    dashboard = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-") as short:  # a socket's path must be short
        process = subprocess.Popen(
            [
                *(BIN / "ray", "start", "--head", "--block", f"--port={free_port()}", f"--temp-dir={short}"),
                *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--num-cpus=2"),
                *(f"--ray-client-server-port={free_port()}", "--object-store-memory=134217728"),
            ],
            env=environment(tmp_path),
            stdout=(tmp_path / "head.log").open("wb"),
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        url = f"http://127.0.0.1:{dashboard}"
        wait_for(lambda: answers(f"{url}/api/version"), "the dashboard answers", 60, 0.2)
        yield url
        # On SIGTERM its raylet gives Serve's actors half a minute; how a Ray of others ends is nothing of ours.
        pids = [process.pid, *descendants_of(process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        process.wait(60)
        wait_for(lambda: not any(map(lives, pids)), "every process of the head has ended")


def answers(url: str) -> bool:
    """Tell whether a GET gives 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def do_the_main_job(tmp_path: Path, port: int) -> None:
    """Add a plugin from git and read its PV."""
    api = f"http://127.0.0.1:{port}/api/v1"
    wait_for(lambda: answers(f"{api}/readyz"), "ready", 90, 0.2)
    make_repository(
        tmp_path / "repository", {"m.py": MINIMAL_TASK, "config.yaml": "pvs: {outputs: {A: {type: int, value: 7}}}"}
    )
    answer = httpx.post(f"{api}/tasks", json={"name": "one", "git_url": str(tmp_path / "repository")}, timeout=60)
    assert answer.status_code == 201, answer.text
    assert caget("SERVED:ONE:A") == "7"
    assert httpx.delete(f"{api}/tasks/one", timeout=60).status_code == 200


def test_serve_deploy(head, tmp_path):
    """`serve deploy serve_config/iocmng.yaml` on a running cluster: the API answers and does the main job."""
    port = free_port()
    done = subprocess.run(
        [BIN / "serve", "deploy", "-a", head, config_for(tmp_path, port)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    do_the_main_job(tmp_path, port)


def test_serve_run_and_the_address_that_serve_listens_on(tmp_path):
    """`serve run` of the same file works; listening on all interfaces without a token, it refuses changes."""
    port = free_port()
    process = subprocess.Popen(
        [BIN / "serve", "run", config_for(tmp_path, port, "0.0.0.0")],
        env=environment(tmp_path, RAY_ADDRESS="local"),
        stdout=(tmp_path / "serve.log").open("wb"),
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
    )
    try:
        api = f"http://127.0.0.1:{port}/api/v1"
        wait_for(lambda: answers(f"{api}/readyz"), "ready", 90, 0.2)
        answer = httpx.post(f"{api}/tasks", json={"name": "one", "local_path": str(tmp_path)})
        assert answer.status_code == 403
        assert "IOCMNG_TOKEN" in answer.json()["detail"]
    finally:
        process.terminate()  # SIGINT would be ignored where the tests run in the background
        process.wait(60)
