"""The Controller and declared parameters: a run is refused before there is one, a change leaves the old version."""

import asyncio

import pytest
from controller_support import request, running, until, view

from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.request import PluginChange
from iocmng.core.runs import RunRequest, RunState
from iocmng.errors import CheckFailure, InvalidRequest, PluginRejected, TimedOut, WrongState

SCHEMA = parse_manifest(
    "parameters_schema: {frames: {type: int, min: 1, required: true}, gain: {type: float, default: 1}}\n"
).parameters_schema


async def add_job(controller, launcher, declared=SCHEMA):
    launcher.kind = Kind.JOB
    launcher.declared, launcher.parameters_schema = declared, {"type": "object"}
    await controller.add(request(), None, wait=True)


async def run(controller, parameters):
    """Run the job; return whether it was a success."""
    one, _ = await controller.run_job("p", RunRequest(parameters=parameters), True)
    return one.state is RunState.SUCCESS


async def test_a_run_that_does_not_fit_config_yaml_is_refused_here():
    """The Controller knows config.yaml's declaration; the process is not asked and nothing runs."""
    async with running() as (controller, launcher):
        await add_job(controller, launcher)
        with pytest.raises(InvalidRequest, match=r"parameters\.frames: must be at least 1, not 0") as caught:
            await run(controller, {"frames": 0, "gian": 2})
        assert [failure.step for failure in caught.value.failures] == ["request", "request"]
        with pytest.raises(InvalidRequest, match="frames is missing"):
            await run(controller, {})
        assert not {"run_job", "check_parameters"} & {*launcher.calls}
        assert await run(controller, {"frames": 1})


async def test_a_run_is_checked_with_the_parameters_of_the_job():
    """What the add gave need not be given again."""
    async with running() as (controller, launcher):
        launcher.parameters = {"frames": 3}
        await add_job(controller, launcher)
        assert await run(controller, {})


async def test_a_model_is_asked_in_its_process():
    """A model is the author's code: the process checks, before the run; what it refuses does not run."""
    async with running() as (controller, launcher):
        await add_job(controller, launcher, declared=None)
        await run(controller, {"a": 1})
        assert launcher.calls[-2:] == ["check_parameters", "run_job"]
        for error in (InvalidRequest("parameters.a: no"), TimedOut("too slow")):
            launcher.fail["check_parameters"] = [error]
            with pytest.raises(type(error)):
                await run(controller, {"a": 1})
            assert launcher.calls[-1] == "check_parameters"


async def test_without_a_declaration_nobody_is_asked():
    """Free parameters cost a run nothing."""
    async with running() as (controller, launcher):
        launcher.kind = Kind.JOB
        await controller.add(request(), None, wait=True)
        await run(controller, {"anything": [None]})
        assert launcher.calls[-1] == "run_job"
        assert "check_parameters" not in launcher.calls


async def test_a_job_that_is_not_up_says_so_first():
    """There is nothing to check parameters with while the job has no process."""
    async with running() as (controller, launcher):
        await add_job(controller, launcher)
        launcher.gates["prepare"] = asyncio.Event()
        launcher.serving[0].crash()

        async def is_down():
            return (await view(controller))["status"] != "running"

        await until(is_down)
        with pytest.raises(WrongState):
            await run(controller, {"frames": 0})


async def test_the_plugin_object_has_the_schema():
    """GET shows the JSON Schema; null where nothing is declared."""
    async with running() as (controller, launcher):
        await add_job(controller, launcher)
        assert (await view(controller))["parameters_schema"] == {"type": "object"}
        launcher.parameters_schema = None
        await controller.add(request("q"), None, wait=True)
        assert (await view(controller, "q"))["parameters_schema"] is None


@pytest.mark.parametrize("call", ["change", "restart", "rollback"])
async def test_a_version_that_the_parameters_do_not_fit_is_refused(call):
    """The old version runs on with its parameters and its schema, and the error says so and names the parameter."""
    async with running() as (controller, launcher):
        await add_job(controller, launcher)
        if call == "rollback":
            await controller.change("p", None, PluginChange(parameters={"frames": 2}))
        before = await view(controller)
        old = launcher.serving[0]
        launcher.parameters_schema = {"type": "object", "title": "new"}
        launcher.fail["prepare"] = [PluginRejected.because(CheckFailure("config", "parameters.frames: no"))]
        calls = {
            "change": lambda: controller.change("p", None, PluginChange(parameters={"frames": 0})),
            "restart": lambda: controller.restart("p", None),
            "rollback": lambda: controller.rollback("p", None, None),
        }
        with pytest.raises(PluginRejected, match="runs on") as caught:
            await calls[call]()
        assert caught.value.failures == (CheckFailure("config", "parameters.frames: no"),)
        after = await view(controller)
        same = ("status", "generation", "parameters_schema", "start_parameters", "pid")
        assert {key: after[key] for key in same} == {key: before[key] for key in same}
        assert launcher.serving == [old]
