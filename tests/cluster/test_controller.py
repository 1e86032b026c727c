"""The Controller and its control loop as plain classes, with a launcher that the test holds in its hand: no Ray."""

import asyncio

import pytest
from controller_support import REJECTED, request, running, until, view

from iocmng.core.builtin_pvs import Kind
from iocmng.core.runs import RunRequest
from iocmng.errors import (
    DuplicatePlugin,
    IocmngError,
    PluginRejected,
    UnknownPlugin,
    WrongKind,
    WrongState,
)


async def test_add_waits_until_the_plugin_is_up():
    """Add returns a version that shows the plugin running; the credential went to the fetch alone."""
    async with running() as (controller, launcher):
        version = await controller.add(request(pat="secret"), None, wait=True)
        shown = await view(controller)
        assert (shown["status"], shown["generation"]) == ("running", 1)
        assert controller._registry.announced == version
        assert launcher.calls[0] == ("fetch", "secret")
        assert "secret" not in repr(shown)


@pytest.mark.parametrize("step", ["fetch", "prepare", "build", "start"])
async def test_a_failed_add_leaves_nothing(step):
    """Whatever step fails: the error is raised, no process, no entry, no bundle stays, and the name is free."""
    async with running() as (controller, launcher):
        launcher.fail[step] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.add(request(), None, wait=True)
        assert await view(controller) is None
        assert launcher.alive() == []
        assert launcher.kept == frozenset()
        await controller.add(request(), None, wait=True)
        assert (await view(controller))["status"] == "running"


async def test_an_error_carries_the_version_that_shows_its_end():
    """The version on the error is that of a snapshot without the plugin."""
    async with running() as (controller, launcher):
        launcher.fail["prepare"] = [REJECTED]
        with pytest.raises(IocmngError) as caught:
            await controller.add(request(), None, wait=True)
        assert caught.value.snapshot_version == controller._registry.announced


async def test_without_wait_a_rejected_plugin_stays_listed():
    """Nobody waits for the answer, so the entry says why; a new add takes its place."""
    async with running() as (controller, launcher):
        launcher.fail["prepare"] = [REJECTED]
        await controller.add(request(), None, wait=False)

        async def is_invalid():
            return (await view(controller))["status"] == "invalid"

        await until(is_invalid)
        assert launcher.alive() == []
        await controller.add(request(), None, wait=True)
        assert (await view(controller))["status"] == "running"


async def test_a_name_is_taken_while_its_plugin_is_loading():
    """A second add of a name is refused from the first moment on."""
    async with running() as (controller, launcher):
        launcher.gates["fetch"] = asyncio.Event()
        first = asyncio.create_task(controller.add(request(), None, wait=True))
        await asyncio.sleep(0)
        with pytest.raises(DuplicatePlugin):
            await controller.add(request(), None, wait=True)
        launcher.gates["fetch"].set()
        await first


@pytest.mark.parametrize("step", ["fetch", "prepare", "build", "start"])
async def test_remove_while_it_is_loading(step):
    """Remove ends a load at any step; the waiting add is told, no process stays."""
    async with running() as (controller, launcher):
        launcher.gates[step] = asyncio.Event()
        adding = asyncio.create_task(controller.add(request(), None, wait=True))

        async def has_come_so_far():
            return step in launcher.calls or (step == "fetch" and launcher.calls)

        await until(has_come_so_far)
        await controller.remove("p", None)
        with pytest.raises(WrongState):
            await adding
        assert launcher.alive() == []
        assert await view(controller) is None


async def test_remove_of_an_unknown_name():
    """It is told as unknown."""
    async with running() as (controller, _):
        with pytest.raises(UnknownPlugin):
            await controller.remove("nobody", None)


async def test_restart_makes_the_new_process_ready_before_the_old_one_stops():
    """Order: fetch, prepare, build, then stop of the old one, then start."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.calls.clear()
        await controller.restart("p", None)
        assert launcher.calls == [("fetch", None), "prepare", "build", "stop", "start"]
        shown = await view(controller)
        assert (shown["generation"], shown["restarts"], shown["status"]) == (2, 1, "running")
        assert launcher.kept == frozenset({"digest-1", "digest-2"})
        assert len(launcher.alive()) == 1


@pytest.mark.parametrize("step", ["fetch", "prepare", "build"])
async def test_a_failed_restart_never_touches_the_old_version(step):
    """Before the old one is stopped, a failure of the new one changes nothing."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        old = launcher.serving[0]
        launcher.fail[step] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.restart("p", None)
        shown = await view(controller)
        assert (shown["generation"], shown["restarts"], shown["status"]) == (1, 0, "running")
        assert launcher.alive() == [old]
        assert launcher.kept == frozenset({"digest-1"})


async def test_a_new_version_that_does_not_start_is_replaced_by_the_old_one():
    """After the old one had to stop, its kept bundle is started again."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["start"] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.restart("p", None)
        shown = await view(controller)
        assert (shown["generation"], shown["status"]) == (1, "running")
        assert launcher.alive() == launcher.serving == [launcher.handles[-1]]
        assert launcher.kept == frozenset({"digest-1"})


async def test_when_neither_version_starts_it_is_told():
    """Status is crashed with both reasons, and restart works once the trouble is over."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["start"] = [REJECTED, REJECTED]
        with pytest.raises(PluginRejected):
            await controller.restart("p", None)
        shown = await view(controller)
        assert shown["status"] == "crashed"
        assert "neither version starts" in shown["message"]
        assert launcher.alive() == []
        await controller.restart("p", None)
        assert (await view(controller))["status"] == "running"


async def test_remove_while_it_is_being_replaced():
    """Both processes end."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.gates["build"] = asyncio.Event()
        restarting = asyncio.create_task(controller.restart("p", None))

        async def is_building():
            return launcher.calls.count("build") == 2

        await until(is_building)
        await controller.remove("p", None)
        with pytest.raises(WrongState):
            await restarting
        assert launcher.alive() == []


async def test_two_plugins_never_get_the_same_record():
    """The second is rejected at step config, and its process is gone."""
    async with running() as (controller, launcher):
        launcher.segments = {"a": "SAME", "b": "SAME"}
        await controller.add(request("a"), None, wait=True)
        with pytest.raises(PluginRejected) as caught:
            await controller.add(request("b"), None, wait=True)
        assert caught.value.failures[0].step == "config"
        assert len(launcher.alive()) == 1
        await controller.remove("a", None)
        await controller.add(request("b"), None, wait=True)


async def test_bundles_are_not_collected_while_a_fetch_is_under_way():
    """A fetch that is about to use a bundle must not lose it."""
    async with running() as (controller, launcher):
        await controller.add(request("a"), None, wait=True)
        launcher.gates["fetch"] = asyncio.Event()
        adding = asyncio.create_task(controller.add(request("b"), None, wait=True))

        async def is_fetching():
            return launcher.calls.count(("fetch", None)) == 2

        await until(is_fetching)
        launcher.kept = "untouched"
        await controller.remove("a", None)
        assert launcher.kept == "untouched"
        launcher.gates["fetch"].set()
        await adding
        assert launcher.kept == frozenset({"digest-2"})


async def test_start_and_stop_change_the_cycles_only():
    """set_running reaches the process, and the returned version shows it."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        await controller.set_running("p", None, False)
        assert (await view(controller))["status"] == "stopped"
        await controller.set_running("p", None, True)
        assert (await view(controller))["status"] == "running"
        assert launcher.calls.count("set_running") == 2


async def test_a_start_that_fails_is_not_tried_for_ever():
    """The error is raised once, and the plugin is left stopped."""
    async with running() as (controller, launcher):
        await controller.add(request(auto_start=False), None, wait=True)
        launcher.fail["set_running"] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.set_running("p", None, True)
        assert launcher.calls.count("set_running") == 1
        await controller.set_running("p", None, True)


async def test_kinds_are_kept_apart():
    """A job has no cycles, a task is not run, and /jobs does not name a task."""
    async with running() as (controller, launcher):
        await controller.add(request("task"), None, wait=True)
        launcher.kind = Kind.JOB
        await controller.add(request("job"), None, wait=True)
        with pytest.raises(WrongKind):
            await controller.set_running("job", None, True)
        with pytest.raises(WrongKind):
            await controller.run_job("task", RunRequest(), True)
        with pytest.raises(WrongKind):
            await controller.remove("task", Kind.JOB)
        with pytest.raises(WrongKind):
            await controller.add(request("other"), Kind.TASK, wait=True)
        run, _ = await controller.run_job("job", RunRequest(), True)
        assert run.result["success"] is True


async def test_shutdown_stops_every_plugin_in_good_order():
    """cleanup() of all runs, at once; nothing is left."""
    async with running() as (controller, launcher):
        for name in "abc":
            await controller.add(request(name), None, wait=True)
        await controller.shutdown()
        assert launcher.calls.count("stop") == 3
        assert launcher.alive() == []


async def test_a_watch_tells_what_changed_and_what_is_gone():
    """A long poll returns the changed plugins only, None for one that is gone, all in another epoch."""
    async with running() as (controller, _):
        await controller.add(request("a"), None, wait=True)
        everything = await controller.watch("", 0)
        assert everything.complete
        await controller.add(request("b"), None, wait=True)
        change = await controller.watch(everything.epoch, everything.version)
        assert (change.complete, set(change.plugins)) == (False, {"b"})
        await controller.remove("a", None)
        gone = await controller.watch(everything.epoch, change.version)
        assert gone.plugins == {"a": None}


async def test_a_run_is_shown_at_once_though_nothing_but_counters_changed():
    """Who waits for the version of a run does not wait for the moment when counters are told."""
    async with running() as (controller, launcher):
        launcher.kind = Kind.JOB
        await controller.add(request(), None, wait=True)
        await controller.run_job("p", RunRequest(), True)
        seen = await controller.watch("", 0)
        watching = asyncio.create_task(controller.watch(seen.epoch, seen.version))
        await asyncio.sleep(0)
        _, version = await controller.run_job("p", RunRequest(), True)
        assert controller._registry.announced == version
        assert (await watching).version >= version


async def test_a_change_does_not_wait_for_the_counters_of_another_plugin():
    """The version of a change is that of the change, though a neighbour has reported a counter since."""
    async with running() as (controller, launcher):
        await controller.add(request("busy"), None, wait=True)
        registry = controller._registry
        announced = registry.announced
        registry.report("busy", launcher.handles[0].report())
        assert registry.version > announced
        assert registry.announced == announced
        assert await controller.add(request("late"), None, wait=True) == registry.announced
