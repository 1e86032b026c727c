"""The log of a plugin as the Controller keeps it: who waits for it, and what is left of a process that died."""

import asyncio

import pytest
from controller_support import REJECTED, request, running, until

from iocmng.errors import PluginRejected, UnknownPlugin


async def test_whoever_waits_gets_the_next_line_at_once():
    """And an empty page where nothing comes in time."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, True)
        page = await controller.logs("p", 10, None)
        assert await controller.logs("p", 10, page.next, 0.01) == page
        waiting = asyncio.create_task(controller.logs("p", 10, page.next, 60))
        handle = launcher.handles[-1]
        handle.version += 1
        handle.reports.put_nowait(handle.report().__class__(handle.version, "running", "RUN", "", True, log=("one",)))
        page = await waiting
        assert (page.lines, page.generations) == (("one",), (1,))


async def test_whoever_waits_is_told_that_the_plugin_is_removed():
    """At once, also where another one is added under its name later."""
    async with running() as (controller, _):
        await controller.add(request(), None, True)
        waiting = asyncio.create_task(controller.logs("p", 10, (await controller.logs("p", 1, None)).next, 60))
        await asyncio.sleep(0)
        await controller.remove("p", None)
        with pytest.raises(UnknownPlugin):
            await waiting


async def test_a_process_that_died_leaves_its_last_lines():
    """They stand before the sentence that tells of its end, and stay when it is up again."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, True)
        first = launcher.handles[-1]
        first.last_lines = ("last", "words")
        first.crash("killed by signal 9")

        async def is_up_again() -> bool:
            return len(launcher.handles) > 1 and launcher.handles[-1] in launcher.serving

        await until(is_up_again)
        lines = (await controller.logs("p", 10, None)).lines
        assert lines[:2] == ("last", "words")
        assert lines[2].endswith(" ERROR its process has ended: killed by signal 9")


async def test_a_version_that_does_not_start_leaves_its_lines():
    """With the generation that it would have been; of an add that failed there is nothing."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, True)
        launcher.fail["start"] = [REJECTED]
        launcher.leave = ("why it fails",)
        with pytest.raises(PluginRejected):
            await controller.restart("p", None)
        page = await controller.logs("p", 10, None)
        assert dict(zip(page.lines, page.generations, strict=True))["why it fails"] == 2
        launcher.fail["start"] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.add(request("q"), None, True)
        with pytest.raises(UnknownPlugin):
            await controller.logs("q", 10, None)
        assert "q" not in controller._registry.logs
