"""serve_config/*.yaml and `serve run` give the same service as iocmng-server."""

import contextlib
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest
import yaml
from docs_blocks import ROOT
from faults import kill, lives
from ray.serve.schema import ServeDeploySchema
from serve_support import BIN, CONFIGS, Reader, answers, deploy, do_the_main_job, environment, replicas, serve, shipped
from support import descendants_of, free_port, wait_for

from iocmng.serve_app import Api, build

pytestmark = pytest.mark.thorough

PAGE = ROOT / "docs" / "how-to" / "deploy-with-serve.md"


def shipped_on(name: str, port: int, host: str = "127.0.0.1") -> dict:
    """Return a shipped file with another port and address."""
    config = shipped(name)
    config["http_options"] |= {"port": port, "host": host}
    return config


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
        yield url, Path(short)
        # On SIGTERM its raylet gives Serve's actors half a minute; how a Ray of others ends is nothing of ours.
        pids = [process.pid, *descendants_of(process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        process.wait(60)
        wait_for(lambda: not any(map(lives, pids)), "every process of the head has ended")


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_it_is_what_serve_and_iocmng_take(file, monkeypatch):
    """Serve's schema takes the file, its arguments are settings, and the page tells of each of its lines."""
    monkeypatch.setenv("IOCMNG_TOKEN", "somebody-may-call")
    config = shipped(file.name)
    ServeDeploySchema.model_validate(config)
    (application,) = config["applications"]
    build(application["args"])
    (deployment,) = application["deployments"]
    assert deployment["name"] == Api.name
    page = PAGE.read_text(encoding="utf-8")
    told = [*application["args"], *deployment, *config["http_options"], *config["logging_config"], "proxy_location"]
    assert [key for key in told if f"`{key}`" not in page] == []
    assert f"`{file.name}`" in page


@pytest.mark.parametrize(
    ("name", "prefix"), [("iocmng.yaml", "SERVED"), pytest.param("dev.yaml", "DEV", marks=pytest.mark.slow)]
)
def test_serve_deploy(head, tmp_path, name, prefix):
    """`serve deploy` of the file on a running cluster: the API answers and does the main job."""
    dashboard, ray = head
    port = free_port()
    deploy(dashboard, shipped_on(name, port), tmp_path)
    api = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60)
    wait_for(lambda: answers(f"{api.base_url}readyz"), "ready", 90, 0.2)
    do_the_main_job(api, tmp_path, prefix)
    calls = [line for log in ray.glob("*/logs/serve/replica_*.log") for line in log.read_text().splitlines()]
    is_loud = any("POST /api/v1/tasks 201" in line for line in calls)
    assert is_loud == (name == "dev.yaml"), calls[-5:]
    assert "status: RUNNING" in serve(dashboard, "status")


@pytest.mark.slow
def test_new_arguments_take_over_without_a_gap(head, tmp_path):
    """`serve deploy` of iocmng.yaml with another argument: the new replica answers before the old one ends."""
    dashboard, _ = head
    config = shipped_on("iocmng.yaml", free_port())
    api = httpx.Client(base_url=f"http://127.0.0.1:{config['http_options']['port']}/api/v1", timeout=60)
    deploy(dashboard, config, tmp_path)
    wait_for(lambda: answers(f"{api.base_url}readyz"), "ready", 90, 0.2)
    reader = Reader(api)
    config["applications"][0]["args"] = {"max_body_bytes": 2048}
    deploy(dashboard, config, tmp_path)
    wait_for(lambda: api.post("/plugins", json={"name": "x" * 3000}).status_code == 413, "the new limit", 60, 0.2)
    wait_for(lambda: len(replicas(dashboard)) == 1, "the old replica has ended", 60, 0.2)
    reader.end()
    assert reader.failed == []


def test_serve_run_and_the_address_that_serve_listens_on(tmp_path):
    """`serve run` of the same file works; listening on all interfaces without a token, it refuses changes."""
    port = free_port()
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(shipped_on("iocmng.yaml", port, "0.0.0.0")))
    process = subprocess.Popen(
        [BIN / "serve", "run", file],
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
