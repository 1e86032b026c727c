"""The audit of a real server: REST, EPICS, and the door of the cluster."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import LOOPBACK, Server, caput, wait_for
from trace_receiver import ReceivedSpan, Receiver, receiving

pytestmark = pytest.mark.thorough

TOKEN = "canary-token-4b1d"
PAT = "canary-pat-91c2"
PASSWORD = "canary-password-77aa"
RAY_AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "canary-ray-0d2f1c" * 4}
OTEL_KEY = "canary-otel-3c55"
CANARIES = (TOKEN, PAT, PASSWORD, OTEL_KEY)
JOB = """\
from iocmng import JobBase


class Scan(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return {"gain": self.parameters["gain"]}
"""
FILES = {
    "p.py": JOB,
    "config.yaml": "parameters_schema:\n  gain: {type: int, default: 1}\n  password: {type: string, secret: true}\n",
}
USER = getpass.getuser()


@pytest.fixture(scope="module")
def collector():
    """Takes the server's traces."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, collector):
    """A server with a token whose log is JSON and that sends traces, and a client that has the token."""
    settings = {
        "IOCMNG_TOKEN": TOKEN,
        "IOCMNG_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={OTEL_KEY}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    server = Server(tmp_path_factory.mktemp("audited"), "AUD", **settings, **RAY_AUTH).wait_until_ready()
    server.http.headers["authorization"] = f"Bearer {TOKEN}"
    yield server
    assert server.stop() == 0, server.log.read_text()


def entries(server: Server, **query: object) -> list[dict[str, Any]]:
    """Return what GET /audit shows."""
    answer = server.http.get("/audit", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["entries"]


def raylet_option(server: Server, name: str) -> str:
    """Return an option of the raylet that the server has started."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            parent = int(line.with_name("stat").read_text().rpartition(")")[2].split()[1])
            words = line.read_bytes().decode(errors="replace").split("\0")
            if parent == server.process.pid and words[0].endswith("raylet"):
                return next(word.partition("=")[2] for word in words if word.startswith(f"--{name}="))
    raise AssertionError("the server has no raylet")


def logged(server: Server) -> list[dict[str, Any]]:
    """Return the audit's lines in the log of the server's processes."""
    return [line for line in log_lines(server) if "door" in line]


def log_lines(server: Server) -> list[dict[str, Any]]:
    """Return all lines of the log that are not Ray's own: each is an object."""
    found = server.log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in found if line.startswith('{"time": ')]


def in_cluster(server: Server, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that joins the server's Ray."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    environment = clean | LOOPBACK | RAY_AUTH | {"RAY_ADDRESS": raylet_option(server, "gcs-address")}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_changes_and_refusals_over_http(guarded: Server) -> None:
    """Each call is there, in its order, with who and from where; no secret is, neither there nor in the state."""
    added = guarded.add("scan", FILES, kind="jobs", parameters={"gain": 2, "password": PASSWORD})
    assert added.status_code == 201, added.text
    assert guarded.http.post("/jobs/scan/run", json={"parameters": {"gain": 3}}).status_code == 200
    stranger = guarded.http.post("/jobs/scan/run", headers={"authorization": "Bearer wrong"})
    assert stranger.status_code == 401
    url = f"https://me:{PAT}@git.example.org/p.git"
    assert guarded.http.post("/plugins", json={"name": "no", "git_url": url, "pat": PAT}).status_code == 422
    assert guarded.http.post("/plugins", content=b"x" * 2_000_000).status_code == 413
    # What a header says is no address.
    forged = {"x-forwarded-for": "203.0.113.77"}
    assert guarded.http.delete("/jobs/scan", headers=forged).status_code == 200
    found = [one for one in entries(guarded) if one["door"] == "rest"]
    assert [(one["what"], one["who"], one["status"], one["plugin"]) for one in reversed(found)] == [
        ("add_job", "token", 201, "scan"),
        ("run_job", "token", 200, "scan"),
        ("run_job", "-", 401, "scan"),
        ("add_plugin", "token", 422, "no"),
        ("add_plugin", "-", 413, None),
        ("remove_job", "token", 200, "scan"),
    ]
    assert found[-1]["request"]["parameters"] == {"gain": 2, "password": "***"}
    assert found[-2]["request"]["run_id"] >= 1
    assert all(one["address"].startswith("127.0.0.1:") for one in found)
    assert found[0]["claimed"] == "203.0.113.77"
    kept = b"".join(file.read_bytes() for file in (guarded.plugins_dir / ".iocmng").glob("state.sqlite*"))
    lines = [line for line in logged(guarded) if line["door"] == "rest"]
    assert [line["what"] for line in lines] == [one["what"] for one in reversed(found)]
    told = (json.dumps(found) + json.dumps(lines)).encode()
    for canary in CANARIES:
        assert canary.encode() not in told
    for canary in (TOKEN, PAT):
        assert canary.encode() not in kept


def test_puts_of_epics_clients(guarded: Server) -> None:
    """A caput to RUN is in the audit and in the plugin's log, and the run says who has asked for it."""
    assert guarded.add("scan", FILES, kind="jobs").status_code == 201
    caput("AUD:SCAN:RUN", 1)
    wait_for(lambda: entries(guarded, plugin="scan", what="put"), "the put is in the audit")
    [put] = entries(guarded, plugin="scan", what="put")
    assert (put["door"], put["kind"], put["method"]) == ("epics", "write", "ca")
    assert put["who"].startswith(f"{USER}@")
    assert put["request"]["pv"] == "AUD:SCAN:RUN"
    wait_for(lambda: guarded.http.get("/jobs/scan/runs").json()["runs"], "the run is there")
    [run] = guarded.http.get("/jobs/scan/runs").json()["runs"]
    assert (run["who"], run["cause"]) == (put["who"], "pv")
    lines = guarded.http.get("/plugins/scan/logs").json()["lines"]
    assert any("AUD:SCAN:RUN written by" in line for line in lines)
    guarded.http.delete("/plugins/scan")


def test_the_door_of_the_cluster(guarded: Server) -> None:
    """A command within the cluster is recorded, too, with the Ray job that it is."""
    assert guarded.add("scan", FILES, kind="jobs").status_code == 201
    done = in_cluster(guarded, "-m", "iocmng", "remove", "scan", "--cluster")
    assert done.returncode == 0, done.stderr
    newest = entries(guarded)[0]
    assert (newest["what"], newest["door"], newest["status"]) == ("remove_plugin", "cluster", 200)
    assert newest["who"].startswith("ray job ")
    assert newest in [line | {"id": newest["id"]} for line in logged(guarded)]


DIRECT = """\
import asyncio, os, sys
from iocmng.cli import ray_environment

ray_environment.prepare_command()  # as the command line does, before Ray is there
import ray
from iocmng.cluster.client import RayControllerClient
from iocmng.core.runs import RunRequest
from iocmng.errors import UnknownPlugin

ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level="error")
client = RayControllerClient.find()
print("job", ray.get_runtime_context().get_job_id())


async def work():
    await client.run_job("scan", RunRequest({"password": sys.argv[1]}), True)
    await client.remove("scan", None)
    try:
        await client.restart("scan", None)
    except UnknownPlugin:
        print("refused")


asyncio.run(work())
"""


def test_a_program_in_the_cluster_that_calls_the_controller(guarded: Server) -> None:
    """Changes past the API are recorded, too, also one that fails; secrets are not."""
    assert guarded.add("scan", FILES, kind="jobs").status_code == 201
    done = in_cluster(guarded, "-c", DIRECT, PASSWORD)
    assert "refused" in done.stdout, done.stderr
    job = done.stdout.split()[1]
    wait_for(lambda: entries(guarded)[0]["what"] == "restart", "the last of its calls is in the audit")
    restart, remove, run = entries(guarded)[:3]
    assert {one["who"] for one in (restart, remove, run)} == {f"ray job {job}"}
    assert {one["door"] for one in (restart, remove, run)} == {"cluster"}
    assert [one["what"] for one in (restart, remove, run)] == ["restart", "remove", "run_job"]
    assert [one["code"] for one in (restart, remove, run)] == ["unknown-plugin", None, None]
    assert run["request"] == {"parameters": {"password": "***"}}
    assert PASSWORD not in json.dumps(entries(guarded))


TALKER = """\
import os
import sys

from iocmng import JobBase


class Talker(JobBase):
    def initialize(self):
        pass

    def execute(self):
        self.logger.info("begins\\n%s", '{"time": "2026-01-01", "message": "forged"}')
        print("the password is", self.parameters["password"])
        print("variables:", [name for name in os.environ if name.startswith("OTEL")])
        raise ValueError("no\\nsuch thing")
"""


def test_every_line_of_the_log_is_an_object(guarded: Server) -> None:
    """Those of plugins say which plugin, node, generation and run they are of, and hide its secrets."""
    files = FILES | {"p.py": TALKER}
    added = guarded.add("talker", files, kind="jobs", parameters={"password": PASSWORD})
    assert added.status_code == 201, added.text
    run = guarded.http.post("/jobs/talker/run?wait=false", json={}).json()["run_id"]

    def of_the_run() -> list[dict[str, Any]] | None:
        found = [line for line in log_lines(guarded) if line.get("run") == run]
        return found if any("exception" in line for line in found) else None

    found = wait_for(of_the_run, "the run's lines")
    node = guarded.get("talker")["node"]
    for line in found:
        assert {key: line[key] for key in ("plugin", "generation", "node")} == {
            "plugin": "talker",
            "generation": 1,
            "node": node,
        }
    begins = next(line for line in found if line["message"].startswith("begins\n"))
    assert (begins["logger"], begins["level"]) == ("iocmng.job.talker", "INFO")
    failed = next(line for line in found if "exception" in line)
    assert (failed["message"], failed["level"]) == ("run failed", "ERROR")
    assert failed["exception"].endswith("ValueError: no\nsuch thing")
    assert any(line["message"] == "the password is ***" for line in found), found
    assert any(line["message"] == "variables: []" for line in found), "author's code sees where traces go"
    assert not any(line.get("message") == "forged" for line in log_lines(guarded))
    told = guarded.log.read_text(errors="replace")
    assert all(canary not in told for canary in CANARIES)
    assert "iocmng answers on" in "".join(line.get("message", "") for line in log_lines(guarded))


def test_an_add_and_a_run_are_one_trace_each(guarded: Server, collector: Receiver) -> None:
    """From the request over the Controller to the plugin's process, each span below the one that it is a part of."""
    answer = guarded.add("traced", FILES, kind="jobs", parameters={"password": PASSWORD})
    assert answer.status_code == 201, answer.text
    number = answer.headers["x-trace-id"]
    names = {"POST /api/v1/jobs", "controller.add"} | {
        f"plugin.{phase}" for phase in ("fetch", "process", "check", "build", "start")
    }

    def whole(trace: str, names: set[str]) -> dict[str, ReceivedSpan] | None:
        found = {span.name: span for span in collector.spans if span.trace == trace}
        return found if found.keys() >= names else None

    spans = wait_for(lambda: whole(number, names), "the add's trace is whole")
    assert spans.keys() == names
    request, command = spans.pop("POST /api/v1/jobs"), spans.pop("controller.add")
    assert (request.parent, request.process, command.process) == ("", "api", "controller")
    assert command.parent == request.id
    assert {span.parent for span in spans.values()} == {command.id}
    assert spans["plugin.start"].attributes == {
        "iocmng.plugin": "traced",
        "iocmng.generation": 1,
        "iocmng.node": guarded.get("traced")["node"],
    }
    ran = guarded.http.post("/jobs/traced/run", json={"parameters": {"gain": 77431}})
    assert ran.status_code == 200, ran.text
    names = {"POST /api/v1/jobs/{name}/run", "controller.run_job", "plugin.run"}
    spans = wait_for(lambda: whole(ran.headers["x-trace-id"], names), "the run's trace is whole")
    run = spans["plugin.run"]
    assert run.parent == spans["controller.run_job"].id
    assert spans["controller.run_job"].parent == spans["POST /api/v1/jobs/{name}/run"].id
    assert run.attributes["iocmng.run"] == guarded.http.get("/jobs/traced/runs").json()["runs"][0]["run_id"]
    assert run.attributes["iocmng.success"] is True
    for canary in (*CANARIES, "77431"):
        assert canary.encode() not in b"".join(collector.bodies)
