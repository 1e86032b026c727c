"""While a process that nobody can reach may serve a plugin's PVs, no other process does, whoever asks for it."""

import asyncio
import time

import pytest
from controller_support import request, running
from test_controller_supervision import has_status

from iocmng.errors import PluginCrashed

UNSEEN = 0.3


async def lasts_at_least(seconds, call):
    loop = asyncio.get_running_loop()
    began = loop.time()
    await call
    assert loop.time() - began >= seconds - 0.02


async def test_a_restart_that_somebody_asks_for_waits_too():
    """Between the loss of the node and the planned start, POST restart makes no second server."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.serving[0].unseen = UNSEEN
        launcher.serving[0].crash("its node is lost")
        await has_status(controller, "crashed")
        await lasts_at_least(UNSEEN, controller.restart("p", None))
        assert len(launcher.serving) == 1


async def test_a_restart_of_a_plugin_on_a_node_that_was_just_cut_off_waits():
    """The old process cannot be ended, so the new one starts when its lease is over."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.serving[0].unseen = UNSEEN
        await lasts_at_least(UNSEEN, controller.restart("p", None))


async def test_a_removal_returns_when_the_pvs_are_gone():
    """So another plugin may serve them at once."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.serving[0].unseen = UNSEEN
        await lasts_at_least(UNSEEN, controller.remove("p", None))


async def test_a_new_process_that_was_lost_while_it_started_is_waited_for():
    """The version before does not start beside a new one that may have begun to serve."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["start"] = [PluginCrashed("its node is lost")]
        begin = launcher.take_process

        async def take(placement):
            handle = await begin(placement)
            handle.unseen = UNSEEN if len(launcher.handles) == 2 else 0.0
            return handle

        launcher.take_process = take
        began = time.monotonic()
        with pytest.raises(PluginCrashed, match="was started again"):
            await controller.restart("p", None)
        assert time.monotonic() - began >= UNSEEN - 0.02
        assert len(launcher.serving) == 1


async def test_a_process_that_is_being_ended_after_a_crash_is_found_by_a_restart():
    """Its end is seen to before the new one starts, however long that takes."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        old, slow = launcher.serving[0], asyncio.Event()
        kill = old.kill

        async def kill_slowly(why=""):
            await slow.wait()
            await kill()

        old.kill = kill_slowly
        old.reports.put_nowait(PluginCrashed("killed by its watchdog"))
        await asyncio.sleep(0.02)
        restart = asyncio.create_task(controller.restart("p", None))
        await asyncio.sleep(0.05)
        assert launcher.serving == [old]
        slow.set()
        await restart
        assert len(launcher.serving) == 1
        assert old not in launcher.serving
