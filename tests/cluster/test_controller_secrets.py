"""What the Controller tells of parameters that are secret: never their values. No Ray."""

import dataclasses

import pytest
from controller_support import REJECTED, request, running, until, view
from fakes import FakeLauncher, MemoryStore
from run_support import ask, ends, goes_on, is_so, job

from iocmng.core.builtin_pvs import Kind
from iocmng.core.parameters import ParametersSchema
from iocmng.core.request import PluginChange
from iocmng.core.runs import RunRequest
from iocmng.errors import InvalidRequest, PluginRejected

SECRET = "correct horse"
DECLARED = ParametersSchema.model_validate(
    {"password": {"type": "string", "secret": True, "required": True}, "x": {"type": "int", "max": 9}}
)


class Declaring(FakeLauncher):
    """Its plugins declare a secret parameter."""

    def __init__(self):
        super().__init__()
        self.declared, self.parameters_schema = DECLARED, DECLARED.to_json_schema()
        self.secrets, self.parameters = DECLARED.secrets, {"password": "***", "x": 1}


def everything(value):
    return str(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value)


async def test_a_secret_of_the_add_is_not_shown():
    """Not in the plugin object, its history and its events; the plugin gets it, and the store keeps it for restarts."""
    store = MemoryStore()
    async with running(store, Declaring()) as (controller, launcher):
        await controller.add(request(parameters={"password": SECRET, "x": 1}), None, wait=True)
        shown = await view(controller)
        assert shown["start_parameters"] == {"password": "***", "x": 1}
        assert shown["parameters_schema"]["properties"]["password"]["writeOnly"] is True
        [generation] = await controller.generations("p")
        assert generation.spec.parameters == {"password": "***", "x": 1}
        events = await controller.events(None, 0, 100)
        assert SECRET not in str(shown) + everything(generation) + str(events)
        assert launcher.handles[0].spec.parameters["password"] == SECRET


async def test_before_the_code_is_read_no_parameter_is_shown():
    """Nobody knows yet which ones are secret; so it is with a plugin that was rejected."""
    async with running(MemoryStore(), Declaring()) as (controller, launcher):
        launcher.fail["prepare"] = [REJECTED] * 5
        await controller.add(request(parameters={"password": SECRET}), None, wait=False)
        assert (await view(controller))["start_parameters"] == {"password": "***"}
        await until(lambda: is_so(launcher.calls.count("prepare")))
        shown = await view(controller)
        assert shown["start_parameters"] == shown["parameters"] == {"password": "***"}


async def test_a_change_that_sends_back_what_was_shown_leaves_the_secret():
    """A dashboard that reads, edits and writes does not destroy a password; a new value replaces it."""
    async with running(MemoryStore(), Declaring()) as (controller, launcher):
        await controller.add(request(parameters={"password": SECRET, "x": 1}), None, wait=True)
        back = (await view(controller))["start_parameters"] | {"x": 2}
        await controller.change("p", None, PluginChange(parameters=back))
        assert launcher.handles[-1].spec.parameters == {"password": SECRET, "x": 2}
        await controller.change("p", None, PluginChange(parameters={"password": "another one"}))
        assert launcher.handles[-1].spec.parameters == {"password": "another one", "x": 2}
        assert (await view(controller))["start_parameters"] == {"password": "***", "x": 2}


async def test_a_secret_of_a_run_is_not_shown():
    """Not while it waits or goes on, nor in the history, which does not keep it either; its process gets it."""
    async with job(launcher=Declaring()) as (controller, launcher, store):
        run, waiting = [await ask(controller, parameters={"password": SECRET, "x": 2}) for _ in range(2)]
        assert run.parameters == waiting.parameters == {"password": "***", "x": 2}
        handle = await goes_on(launcher, run.id)
        assert handle.orders[run.id].parameters["password"] == SECRET
        assert SECRET not in str(await controller.runs("j", (), None, 10)) + str(await controller.run("j", run.id))
        handle.finish()
        assert (await ends(controller, run.id)).parameters == {"password": "***", "x": 2}
        assert store.kept_runs[run.id].parameters == {"password": "***", "x": 2}
        cancelled, _ = await controller.cancel_run("j", waiting.id, False)
        assert cancelled.parameters["password"] == "***"


async def test_a_run_need_not_bring_a_secret_that_the_job_has():
    """It is checked without being known; one that does not fit is refused, and the refusal does not quote it."""
    async with job(launcher=Declaring(), holds=False) as (controller, _, _store):
        await controller.run_job("j", RunRequest(parameters={"x": 3}), True)
        with pytest.raises(InvalidRequest, match=r"parameters\.x: must be at most 9"):
            await ask(controller, parameters={"x": 10})
        with pytest.raises(InvalidRequest, match=r"parameters\.password: .*not shown") as refused:
            await ask(controller, parameters={"password": 12345678})
        assert "12345678" not in str(refused.value)


async def test_a_secret_of_a_schedule_is_not_shown():
    """The plugin object shows the schedule without it."""
    launcher = Declaring()
    launcher.kind = Kind.JOB
    schedule = {"cron": "0 0 1 1 *", "parameters": {"password": SECRET}}
    async with running(MemoryStore(), launcher) as (controller, _):
        await controller.add(request("j", schedule=schedule), None, wait=True)
        assert (await view(controller, "j"))["schedule"]["parameters"] == {"password": "***"}


def test_what_is_wrong_with_a_secret_is_told_without_it():
    """The mistake names the parameter; a default is refused, because it would stand in the repository."""
    with pytest.raises(PluginRejected) as refused:
        DECLARED.check({"password": 87654321})
    assert "parameters.password" in str(refused.value)
    assert "87654321" not in str(refused.value)
    with pytest.raises(ValueError, match="secret parameter has no default"):
        ParametersSchema.model_validate({"p": {"type": "string", "secret": True, "default": "x"}})
