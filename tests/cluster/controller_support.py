"""A running Controller on fakes, and how to ask it."""

import asyncio
from contextlib import asynccontextmanager

from fakes import FakeLauncher, MemoryStore

from iocmng.cluster.controller import Controller
from iocmng.core.backoff import Backoff, RestartPolicy
from iocmng.core.request import PluginRequest
from iocmng.errors import CheckFailure, PluginRejected

REJECTED = PluginRejected.because(CheckFailure("import", "no"))


@asynccontextmanager
async def running(store=None, launcher=None, plugins_file=None, **options):
    """A Controller with its launcher."""
    launcher = launcher or FakeLauncher()
    policy = RestartPolicy(Backoff(first=0.05, limit=0.2), stable_after=0.5, jitter=0)
    controller = Controller(launcher, store or MemoryStore(), "T", policy, **options)
    try:
        async with asyncio.timeout(10):
            await controller.start(plugins_file)
            yield controller, launcher
    finally:
        await controller.abandon()


def request(name="p", **fields):
    return PluginRequest(name=name, git_url="https://example.org/p.git", **fields)


async def view(controller, name="p"):
    snapshot = await controller.watch("", 0)
    return snapshot.plugins.get(name)


async def until(condition):
    """Give the loop turns until the condition holds."""
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110  turns of the loop, not time
            await asyncio.sleep(0)
