"""The figures that the Controller tells, on fakes: no Ray, no Prometheus."""

import ast
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from controller_support import REJECTED, request, running, until
from fakes import FakeLauncher

import iocmng
from iocmng.core.builtin_pvs import Kind
from iocmng.core.metrics import METRICS
from iocmng.core.runs import RunRequest
from iocmng.core.tally import Spread
from iocmng.errors import PluginRejected

SERIES = {name: set(tags) for metric in METRICS for name, tags in metric.series}


class Collected:
    """Keeps what was told last."""

    period = 0.01

    def __init__(self):
        self.told = {}

    def tell(self, samples):
        told = {}
        for series, tags, value in samples:
            assert set(tags) == SERIES[series]
            key = series, *sorted(tags.items())
            assert key not in told, "the same series twice"
            told[key] = value
        self.told = told

    def get(self, series, **tags):
        """Return a value, or None where the series is not told."""
        return self.told.get((series, *sorted(tags.items())))


@asynccontextmanager
async def figures(kind=Kind.TASK, **options):
    """A Controller, its launcher, and a function that waits until a series has a value."""
    meters, launcher = Collected(), FakeLauncher()
    launcher.kind = kind

    async def tells(value, series, **tags):
        async def it_does():
            return meters.get(series, **tags) == value

        await until(it_does)

    async with running(launcher=launcher, meters=meters, **options) as (controller, launcher):
        yield controller, launcher, tells


async def test_states_are_told_and_go_with_the_plugin():
    """One state is 1 and all others are 0; of a removed plugin nothing is told."""
    async with figures() as (controller, _, tells):
        await tells(0, "iocmng_plugins", state="running")
        await controller.add(request(), None, wait=True)
        await tells(1, "iocmng_plugins", state="running")
        await tells(1, "iocmng_plugin_state", plugin="p", state="running")
        await tells(0, "iocmng_plugin_state", plugin="p", state="stopped")
        await tells(1, "iocmng_ioc_records", plugin="p")
        await tells(1, "iocmng_plugin_info", plugin="p", type="task", host="h", node="n", commit="")
        await controller.set_running("p", None, False)
        await tells(1, "iocmng_plugin_state", plugin="p", state="stopped")
        await tells(0, "iocmng_plugin_state", plugin="p", state="running")
        await controller.remove("p", None)
        await tells(0, "iocmng_plugins", state="stopped")
        await tells(None, "iocmng_plugin_state", plugin="p", state="stopped")
        await tells(None, "iocmng_plugin_restarts_total", plugin="p", cause="asked")


async def test_starts_are_counted_by_cause_and_outcome():
    """A good add with its phases, one that a check rejects, a restart, and a failed one that counts as none."""
    async with figures() as (controller, launcher, tells):
        await controller.add(request(), None, wait=True)
        await tells(1, "iocmng_starts_total", cause="add", outcome="ok")
        for phase in ("fetch", "prepare", "start"):
            await tells(1, "iocmng_start_phase_seconds_count", phase=phase)
        await tells(1, "iocmng_start_seconds_count", cause="add")
        launcher.fail["prepare"] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.add(request("q"), None, wait=True)
        await tells(1, "iocmng_starts_total", cause="add", outcome="import")
        await tells(0, "iocmng_plugin_restarts_total", plugin="p", cause="asked")
        await controller.restart("p", None)
        await tells(1, "iocmng_plugin_restarts_total", plugin="p", cause="asked")
        await tells(1, "iocmng_starts_total", cause="restart", outcome="ok")
        launcher.fail["prepare"] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.restart("p", None)
        await tells(1, "iocmng_starts_total", cause="restart", outcome="import")
        await tells(1, "iocmng_plugin_restarts_total", plugin="p", cause="asked")


async def test_crashes_are_counted():
    """The end that nobody asked for, and the start after it."""
    async with figures() as (controller, launcher, tells):
        await controller.add(request(), None, wait=True)
        await tells(0, "iocmng_plugin_crashes_total", plugin="p")
        launcher.serving[0].crash()
        await tells(1, "iocmng_plugin_crashes_total", plugin="p")
        await tells(1, "iocmng_plugin_restarts_total", plugin="p", cause="crash")
        await tells(0, "iocmng_plugin_restarts_total", plugin="p", cause="asked")
        await tells(1, "iocmng_starts_total", cause="crash", outcome="ok")


async def test_what_a_process_reports_is_told():
    """Cycle times, failures, overruns and clients, until it is gone."""
    async with figures() as (controller, launcher, tells):
        await controller.add(request(), None, wait=True)
        handle = launcher.serving[0]
        spread = Spread((0, 3, *[0] * 11), 0.006)
        report = replace(handle.report(), cycle_times=spread, cycle_failures=2, overruns=5, clients=(4, 1))
        handle.reports.put_nowait(report)
        await tells(3, "iocmng_cycle_seconds_count", plugin="p")
        await tells(0.006, "iocmng_cycle_seconds_sum", plugin="p")
        await tells(0, "iocmng_cycle_seconds_bucket", plugin="p", le="0.001")
        await tells(3, "iocmng_cycle_seconds_bucket", plugin="p", le="0.0025")
        await tells(2, "iocmng_cycle_failures_total", plugin="p")
        await tells(5, "iocmng_cycle_overruns_total", plugin="p")
        await tells(4, "iocmng_ioc_clients", plugin="p", protocol="ca")
        await tells(1, "iocmng_ioc_clients", plugin="p", protocol="pva")
        launcher.fail["build"] = [REJECTED] * 100
        handle.crash()
        await tells(None, "iocmng_ioc_clients", plugin="p", protocol="ca")
        await tells(None, "iocmng_ioc_records", plugin="p")
        await tells(1, "iocmng_plugin_state", plugin="p", state="crashed")


async def test_runs_are_counted_by_their_results():
    """Also those that wait and go on; a job has no cycles."""
    async with figures(Kind.JOB) as (controller, launcher, tells):
        launcher.holds_runs = True
        await controller.add(request("j"), None, wait=True)
        await tells(0, "iocmng_job_runs_total", plugin="j", result="failed")
        await controller.run_job("j", RunRequest(), False)
        await controller.run_job("j", RunRequest(), False)
        await tells(1, "iocmng_job_runs_running", plugin="j")
        await tells(1, "iocmng_job_runs_queued", plugin="j")
        launcher.handles[0].finish(success=False)
        await tells(1, "iocmng_job_runs_total", plugin="j", result="failed")
        await tells(0, "iocmng_job_runs_queued", plugin="j")
        launcher.handles[0].finish()
        await tells(1, "iocmng_job_runs_total", plugin="j", result="success")
        await tells(2, "iocmng_job_run_seconds_count", plugin="j")
        await tells(0, "iocmng_job_runs_running", plugin="j")
        await tells(None, "iocmng_cycle_seconds_count", plugin="j")


def test_one_module_imports_rays_metrics():
    """Whoever else would tell figures from another process would leave its series in Ray's agent for ever."""
    found = [path.name for path in Path(iocmng.__file__).parent.rglob("*.py") if "ray.util.metrics" in imports(path)]
    assert found == ["ray_meters.py"]


def imports(path):
    """Return the modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return modules | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
