"""Ray clusters for the tests of serve_config/, and the real `serve deploy` on them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import yaml
from docs_blocks import ROOT
from support import LOOPBACK, MINIMAL_TASK, caget, is_gone, make_repository, wait_for

BIN = Path(sys.executable).parent
CONFIGS = sorted((ROOT / "serve_config").glob("*.yaml"))

JOB = """\
from iocmng import JobBase, JobResult


class Twice(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return JobResult(True, 2 * self.parameters["x"])
"""


def shipped(name: str) -> dict[str, Any]:
    """Return one of the files of serve_config/."""
    return yaml.safe_load((ROOT / "serve_config" / name).read_text(encoding="utf-8"))


def environment(root: Path, **more: str) -> dict[str, str]:
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
            "RAY_worker_niceness": "0",
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
            "IOCMNG_PREFIX": "SERVED",
            "IOCMNG_PLUGINS_DIR": str(root / "plugins"),
            "IOCMNG_LOCAL_ROOTS": str(root),
            **more,
        }
    )


def deploy(dashboard: str, config: dict[str, Any], root: Path) -> None:
    """Give a config to the cluster of a dashboard, as an operator does."""
    file = root / "serve.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    serve(dashboard, "deploy", str(file))


def serve(dashboard: str, command: str, *arguments: str) -> str:
    """Run `serve` on the cluster of a dashboard; return what it prints."""
    done = subprocess.run(
        [BIN / "serve", command, "-a", dashboard, *arguments],
        env=environment(Path("/nowhere")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def replicas(dashboard: str) -> list[dict[str, Any]]:
    """Return what the dashboard tells of the API's replicas; one that is being placed has no node yet."""
    told = httpx.get(f"{dashboard}/api/serve/applications/", timeout=10).json()
    deployments = told["applications"].get("iocmng", {}).get("deployments", {})
    return deployments.get("Api", {}).get("replicas", [])


def answers(url: str) -> bool:
    """Tell whether a GET gives 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def make_plugins(root: Path) -> str:
    """Make a git repository with a task and a job; return its path."""
    files = {
        "task/m.py": MINIMAL_TASK,
        "task/config.yaml": "pvs: {outputs: {A: {type: int, value: 7}}}\n",
        "job/twice.py": JOB,
    }
    return str(make_repository(root / "repository", files).working_dir)


def do_the_main_job(api: httpx.Client, root: Path, prefix: str = "SERVED") -> None:
    """Add a task and a job from git, read a PV, run the job, remove both."""
    url = make_plugins(root)
    for kind, name in (("tasks", "one"), ("jobs", "twice")):
        answer = api.post(f"/{kind}", json={"name": name, "git_url": url, "path": kind.removesuffix("s")})
        assert answer.status_code == 201, answer.text
    assert caget(f"{prefix}:ONE:A") == "7"
    answer = api.post("/jobs/twice/run", json={"parameters": {"x": 21}})
    assert (answer.status_code, answer.json()["result"]["data"]) == (200, 42)
    for name in ("one", "twice"):
        assert api.delete(f"/plugins/{name}").status_code == 200
    wait_for(lambda: is_gone(f"{prefix}:ONE:A"), "its PV is gone")
    assert api.get("/plugins").json()["plugins"] == []


class Reader(threading.Thread):
    """Reads the plugins at one node all the time; keeps what was no good answer, with its time."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.answered, self.failed = 0, []
        self._client, self._ended = client, threading.Event()
        self.start()

    def run(self) -> None:
        begun = time.monotonic()
        while not self._ended.wait(0.02):
            try:
                self._client.get("/plugins", timeout=10).raise_for_status()
                self.answered += 1
            except httpx.HTTPError as error:
                self.failed.append((round(time.monotonic() - begun, 2), repr(error)))

    def end(self) -> None:
        self._ended.set()
        self.join()
