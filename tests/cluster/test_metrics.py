"""What Prometheus finds at the endpoint of a real server: plugins, cycles, clients, runs, crashes."""

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from listening import listening_sockets
from p4p.client.thread import Context
from promql import FOREIGN, MONITORING, panel_expressions, rules
from scraping import INTERVAL, Endpoint
from support import LOOPBACK, MINIMAL_TASK, TOOLS, Server, free_port, wait_for

pytestmark = pytest.mark.thorough

SLOW_TASK = MINIMAL_TASK.replace("def execute(self):\n        pass", "def execute(self):\n        time.sleep(0.3)")
SLOW = {"m.py": f"import time\n{SLOW_TASK}", "config.yaml": "parameters: {interval: 0.1}\n"}
JOB = """\
from iocmng import JobBase, JobResult


class Scan(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return JobResult(success=self.parameters.get("good", True), message="")
"""


@contextmanager
def clients(pv):
    """A monitor by Channel Access and one by PV Access."""
    camonitor = subprocess.Popen([TOOLS / "camonitor", pv], env=os.environ | LOOPBACK, stdout=subprocess.DEVNULL)
    try:
        with Context("pva", conf=LOOPBACK, useenv=False) as context:
            got = []
            monitor = context.monitor(pv, got.append)
            wait_for(lambda: got, "the monitor has a value")
            yield
            monitor.close()
    finally:
        camonitor.kill()
        camonitor.wait()


def test_a_plugins_life_in_figures(server):
    """States, records, cycles that are too long for their interval, a stop; after the removal, nothing is left."""
    seen = Endpoint(server.metrics_port)
    assert server.add("pump", SLOW).status_code == 201
    seen.tells(1, "iocmng_plugins", state="running")
    seen.tells(1, "iocmng_plugin_state", plugin="pump", state="running")
    seen.tells(len(server.get("pump")["built_pvs"]), "iocmng_ioc_records", plugin="pump")
    seen.exceeds(0, "iocmng_cycle_overruns_total", plugin="pump")
    seen.exceeds(0, "iocmng_cycle_seconds_bucket", plugin="pump", le="0.5")
    assert seen.values("iocmng_cycle_seconds_bucket", plugin="pump", le="0.25") == [0]
    server.http.post("/tasks/pump/stop").raise_for_status()
    seen.tells(1, "iocmng_plugin_state", plugin="pump", state="stopped")
    seen.tells(0, "iocmng_plugin_state", plugin="pump", state="running")
    server.http.delete("/plugins/pump").raise_for_status()
    seen.drops("iocmng_plugin_state", plugin="pump")
    assert 'plugin="pump"' not in seen.text()


@pytest.mark.slow
def test_clients_and_restarts_in_figures(server):
    """Clients of both protocols come and go; a crash and a restart that was asked for are told apart."""
    seen = Endpoint(server.metrics_port)
    assert server.add("pump", {"m.py": MINIMAL_TASK}).status_code == 201
    with clients(f"{server.prefix}:PUMP:HEARTBEAT"):
        seen.tells(1, "iocmng_ioc_clients", plugin="pump", protocol="ca")
        seen.tells(1, "iocmng_ioc_clients", plugin="pump", protocol="pva")
    seen.tells(0, "iocmng_ioc_clients", plugin="pump", protocol="ca")
    seen.tells(0, "iocmng_ioc_clients", plugin="pump", protocol="pva")
    assert seen.values("iocmng_plugin_crashes_total", plugin="pump") == [0]
    os.kill(server.get("pump")["pid"], signal.SIGKILL)
    seen.tells(1, "iocmng_plugin_crashes_total", plugin="pump")
    seen.tells(1, "iocmng_plugin_restarts_total", plugin="pump", cause="crash")
    server.http.post("/plugins/pump/restart").raise_for_status()
    seen.tells(1, "iocmng_plugin_restarts_total", plugin="pump", cause="asked")


@pytest.mark.thorough
def test_runs_and_starts_in_figures(server):
    """Runs by their result, starts by cause and outcome, and the calls of the API, which Ray Serve counts."""
    seen = Endpoint(server.metrics_port)
    assert server.add("bad", {"m.py": "class (\n"}).json()["validation"]["errors"][0]["step"] == "syntax"
    assert server.add("scan", {"m.py": JOB}).status_code == 201
    seen.tells(0, "iocmng_job_runs_total", plugin="scan", result="failed")
    for good in (True, True, False):
        server.http.post("/jobs/scan/run", json={"parameters": {"good": good}}).raise_for_status()
    seen.tells(2, "iocmng_job_runs_total", plugin="scan", result="success")
    seen.tells(1, "iocmng_job_runs_total", plugin="scan", result="failed")
    seen.tells(3, "iocmng_job_run_seconds_count", plugin="scan")
    seen.tells(0, "iocmng_job_runs_running", plugin="scan")
    seen.exceeds(0, "iocmng_starts_total", cause="add", outcome="syntax")
    seen.exceeds(0, "iocmng_starts_total", cause="add", outcome="ok")
    seen.exceeds(0, "iocmng_start_phase_seconds_count", phase="prepare")
    run = {"method": "POST", "route": "/api/v1/jobs/{name}/run", "status_code": "200"}
    seen.exceeds(2, "serve_num_http_requests_total", **run)
    assert [name for name in FOREIGN if name not in seen.text() and name != "up"] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: prometheus)")
def test_every_panel_shows_something(server, tmp_path):
    """A real Prometheus with our configuration scrapes a real server; each query of the dashboard brings data."""
    assert server.add("pump", SLOW).status_code == 201
    assert server.add("scan", {"m.py": JOB}).status_code == 201
    with prometheus(server.metrics_port, tmp_path) as ask:
        wait_for(lambda: ask("ray_iocmng_job_runs_total"), "the first scrape", 30)
        server.http.post("/jobs/scan/run").raise_for_status()
        os.kill(server.get("pump")["pid"], signal.SIGKILL)
        for title, expression in panel_expressions().items():
            asked = expression.replace("$plugin", ".*").replace("$__rate_interval", "1m")
            wait_for(lambda asked=asked: ask(asked), f"{title}: {asked}", 60, 0.5)
        for rule in rules():
            ask(rule["expr"])
        (up,) = ask("up")
        assert up["metric"]["job"] == "iocmng"


@contextmanager
def prometheus(target, directory):
    """A Prometheus with monitoring/prometheus.yaml; gives a function that asks it and returns the series."""
    document = yaml.safe_load((MONITORING / "prometheus.yaml").read_text(encoding="utf-8"))
    document["global"]["scrape_interval"] = "2s"
    document["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    shutil.copy(MONITORING / "rules.yaml", directory)
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    port = free_port()
    options = ("--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *options], cwd=directory, stdout=log, stderr=log)
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, transport=httpx.HTTPTransport(retries=8))

    def ask(expression):
        answer = http.get("/api/v1/query", params={"query": expression, "time": time.time()})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["result"]

    try:
        yield ask
    finally:
        http.close()
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_a_server_without_figures_has_no_endpoint(tmp_path):
    """With IOCMNG_METRICS=false nothing listens for Prometheus, and plugins run as ever."""
    port = free_port()
    server = Server(tmp_path, "NOM", IOCMNG_METRICS="false", IOCMNG_METRICS_PORT=str(port), **INTERVAL)
    try:
        server.wait_until_ready()
        assert server.add("pump", {"m.py": MINIMAL_TASK}).json()["plugin"]["status"] == "running"
        sockets = listening_sockets(server.descendants())
        assert port not in {one.port for one in sockets}
        for one in sockets:
            assert "ray_iocmng" not in answer_of(one.port)
    finally:
        assert server.stop() == 0, server.log.read_text()


def answer_of(port):
    """Return what a port answers to a scrape; empty where it does not speak HTTP."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=1).text
    except httpx.HTTPError:
        return ""


@pytest.mark.slow
def test_ray_lists_its_endpoints_in_a_file(tmp_path):
    """With the dashboard, Ray keeps a file of all endpoints for Prometheus's file_sd_configs."""
    port = free_port()
    dashboard = {"IOCMNG_RAY_DASHBOARD": "true", "IOCMNG_RAY_DASHBOARD_PORT": str(free_port())}
    server = Server(tmp_path, "FSD", IOCMNG_METRICS_PORT=str(port), **dashboard).wait_until_ready()
    try:
        (raylet,) = server.processes_with(b"/raylet/raylet")
        words = Path(f"/proc/{raylet}/cmdline").read_text(encoding="utf-8").split("\0")
        session = next(word.partition("=")[2] for word in words if word.startswith("--session_dir="))
        file = Path(session) / "prom_metrics_service_discovery.json"
        wait_for(file.is_file, "Ray has written the file", 30)
        (group,) = json.loads(file.read_text(encoding="utf-8"))
        assert f"127.0.0.1:{port}" in group["targets"]
    finally:
        assert server.stop() == 0, server.log.read_text()
