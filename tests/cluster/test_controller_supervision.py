"""Supervision by the Controller: crashes, back-off, hangs; without Ray."""

import asyncio

import pytest
from controller_support import REJECTED, request, running, until, view

from iocmng.core.manifest import Manifest
from iocmng.core.spec import Report
from iocmng.errors import PluginCrashed, ServerUnavailable, SourceUnavailable


async def has_status(controller, status, name="p"):
    """Wait until a plugin has a status; return its object."""

    async def it_has():
        shown = await view(controller, name)
        return shown is not None and shown["status"] == status

    await until(it_has)
    return await view(controller, name)


async def test_a_process_that_ends_is_replaced_at_once():
    """From the kept files, with a count and the last exit; the credential is not needed."""
    async with running() as (controller, launcher):
        await controller.add(request(pat="x"), None, wait=True)
        launcher.calls.clear()
        launcher.serving[0].crash("the plugin's process ended: segmentation fault")
        await has_status(controller, "crashed")
        shown = await has_status(controller, "running")
        assert (shown["restarts"], shown["crashes"]) == (1, 1)
        assert "segmentation fault" in shown["last_exit"]
        assert shown["message"] == ""
        assert launcher.calls == [("reopen", "digest-1"), "prepare", "build", "start"]


async def test_a_crash_loop_backs_off_and_says_so():
    """Each further end waits longer; count, reason and the time of the next try are shown."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        for count in (1, 2, 3):
            launcher.serving[0].crash()
            await until(lambda count=count: _is(controller, "crashes", count))
            shown = await view(controller)
            if shown["status"] == "crashed":
                assert shown["next_try"] is not None
                assert "restart" in shown["message"]
            await has_status(controller, "running")
        assert (await view(controller))["crashes"] == 3


async def _is(controller, key, value):
    return (await view(controller))[key] == value


async def test_a_stable_time_resets_the_count():
    """After half a second of service (in this test) the plugin counts as healthy."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.serving[0].crash()
        await until(lambda: _is(controller, "crashes", 1))
        await has_status(controller, "running")
        await until(lambda: _is(controller, "crashes", 0))
        assert (await view(controller))["restarts"] == 1


async def test_a_plugin_that_cannot_be_started_again_is_tried_until_it_can():
    """The hardware is off for a while: crashed with the reason, then running."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["start"] = [REJECTED, REJECTED, REJECTED]
        launcher.serving[0].crash()
        await until(lambda: _is(controller, "crashes", 3))
        assert "could not be started again: import: no" in (await view(controller))["message"]
        assert (await has_status(controller, "running"))["crashes"] == 4
        assert launcher.alive() == launcher.serving


async def test_stop_of_a_crashed_task_lasts_and_start_tries_at_once():
    """An operator's stop is taken at any time; a start does not wait for the back-off."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["start"] = [REJECTED] * 3
        launcher.serving[0].crash()
        await until(lambda: _is(controller, "crashes", 3))
        await controller.set_running("p", None, False)
        launcher.fail["start"] = [REJECTED]
        with pytest.raises(PluginCrashed):
            await controller.set_running("p", None, True)
        await controller.set_running("p", None, False)
        await has_status(controller, "loaded")


async def test_remove_while_it_waits_for_its_next_try():
    """Nothing is started any more."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["start"] = [REJECTED] * 9
        launcher.serving[0].crash()
        await until(lambda: _is(controller, "crashes", 3))
        await controller.remove("p", None)
        count = len(launcher.handles)
        await asyncio.sleep(0.5)
        assert (len(launcher.handles), launcher.alive()) == (count, [])


async def test_a_crash_while_it_is_being_replaced():
    """The replacement goes on; where it fails, the old version is started again."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.gates["build"] = asyncio.Event()
        restarting = asyncio.create_task(controller.restart("p", None))
        await until(lambda: _later(launcher.calls.count("build") == 2))
        launcher.serving[0].crash()
        await until(lambda: _later(not launcher.serving))
        launcher.gates.pop("build").set()
        await restarting
        assert (await view(controller))["status"] == "running"
        launcher.gates["build"] = asyncio.Event()
        launcher.fail["build"] = [REJECTED]
        restarting = asyncio.create_task(controller.restart("p", None))
        await until(lambda: _later(launcher.calls.count("build") == 3))
        launcher.serving[0].crash()
        await until(lambda: _later(not launcher.serving))
        launcher.gates.pop("build").set()
        with pytest.raises(Exception, match="tried again"):
            await restarting
        await has_status(controller, "running")
        assert len(launcher.alive()) == 1


async def _later(value):
    return value


async def test_a_process_that_is_lost_from_sight_is_replaced_after_its_lease():
    """Its node cannot be seen: the replacement waits until the old PVs are gone for certain."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        old = launcher.serving[0]
        old.unseen = 0.3
        began = asyncio.get_running_loop().time()
        old.crash("its node has died")
        await has_status(controller, "crashed")
        assert len(launcher.handles) == 1
        await has_status(controller, "running")
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_task_that_hangs_is_killed_where_its_watchdog_says_so():
    """The report says that it hangs: the process is killed and replaced, and the reason is kept."""
    async with running() as (controller, launcher):
        launcher.manifest = Manifest.model_validate({"watchdog": {"seconds": 1, "restart": True}})
        await controller.add(request(), None, wait=True)
        old = launcher.serving[0]
        old.reports.put_nowait(Report(9, "error", "ERROR", "execute() has not returned for 1 s", True, hung=True))
        await until(lambda: _later(not old.is_alive))
        shown = await has_status(controller, "running")
        assert shown["last_exit"] == "killed by its watchdog: execute() has not returned for 1 s"


async def test_a_task_that_hangs_is_only_marked_without_that_wish():
    """The object says hung and error; the process lives."""
    async with running() as (controller, launcher):
        launcher.manifest = Manifest.model_validate({"watchdog": 1})
        await controller.add(request(), None, wait=True)
        process = launcher.serving[0]
        process.reports.put_nowait(Report(9, "error", "ERROR", "execute() has not returned for 1 s", True, hung=True))
        shown = await has_status(controller, "error")
        assert (shown["hung"], process.is_alive) == (True, True)


async def test_a_process_that_does_not_answer_is_marked_and_recovers():
    """The GIL is held: no report comes; when one does, the mark goes."""
    async with running() as (controller, launcher):
        launcher.manifest = Manifest.model_validate({"watchdog": 0.1})
        await controller.add(request(), None, wait=True)
        shown = await has_status(controller, "error")
        assert shown["hung"] is True
        assert "does not answer" in shown["message"]
        process = launcher.serving[0]
        process.reports.put_nowait(process.report())
        shown = await has_status(controller, "running")
        assert (shown["hung"], shown["message"]) == (False, "")


async def test_a_process_that_does_not_answer_is_killed_where_its_watchdog_says_so():
    """It is replaced; the old process is dead before the new one serves."""
    async with running() as (controller, launcher):
        launcher.manifest = Manifest.model_validate({"watchdog": {"seconds": 0.1, "restart": True}})
        await controller.add(request(), None, wait=True)
        old = launcher.serving[0]
        await until(lambda: _later(len(launcher.handles) > 1 and launcher.handles[1] in launcher.serving))
        assert not old.is_alive
        assert "did not answer" in (await view(controller))["last_exit"]


async def test_a_source_that_is_not_there_yet_is_tried_again():
    """Added without waiting, its git server down: rejected with the reason, then tried again, then up."""
    async with running() as (controller, launcher):
        launcher.fail["fetch"] = [SourceUnavailable.because("no route"), SourceUnavailable.because("no route")]
        await controller.add(request(), None, wait=False)
        await has_status(controller, "running")
        assert launcher.calls.count(("fetch", None)) == 3


async def test_an_add_that_the_end_of_the_server_cuts_off_says_so():
    """503, try again: nobody has removed the plugin, and nothing of it is kept."""
    async with running() as (controller, launcher):
        launcher.gates["start"] = asyncio.Event()
        adding = asyncio.ensure_future(controller.add(request(), None, wait=True))

        async def is_starting():
            return "start" in launcher.calls

        await until(is_starting)
        await controller.shutdown()
        with pytest.raises(ServerUnavailable, match="the server ends"):
            await adding
        assert launcher.alive() == []
