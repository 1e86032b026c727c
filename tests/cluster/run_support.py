"""A Controller on fakes with a job, and how to ask it for runs."""

from contextlib import asynccontextmanager

from controller_support import request, running, until, view
from fakes import FakeLauncher, MemoryStore

from iocmng.core.builtin_pvs import Kind
from iocmng.core.runs import RunLimits, RunRequest

SECONDS = {"grace": 0.05}


@asynccontextmanager
async def job(store=None, launcher=None, *, holds=True, obeys=True, name="j", **limits):
    """A Controller with a job whose runs end when the test says so; gives (controller, launcher, store)."""
    store = store or MemoryStore()
    launcher = launcher or FakeLauncher()
    launcher.kind = Kind.JOB
    launcher.holds_runs, launcher.obeys = holds, obeys
    async with running(store, launcher, run_limits=RunLimits(**{**SECONDS, **limits})) as (controller, _):
        if name not in store.entries:
            await controller.add(request(name), None, wait=True)
        yield controller, launcher, store


async def ask(controller, name="j", **fields):
    """Ask for a run, and do not wait for its end."""
    run, _ = await controller.run_job(name, RunRequest(**fields), False)
    return run


async def ends(controller, number, name="j"):
    """Return a run once it has ended."""
    found = []

    async def has_ended():
        found[:] = [await controller.run(name, number)]
        return found[0].has_ended

    await until(has_ended)
    return found[0]


async def goes_on(launcher, number):
    """Wait until the newest process has been told of a run; return the process."""

    async def is_told():
        return any(number in handle.orders for handle in launcher.handles)

    await until(is_told)
    return next(handle for handle in launcher.handles if number in handle.orders)


def states(store, number):
    """Return the states in which the store has seen a run."""
    return [state for run, state in store.run_states if run == number]


async def is_active(controller, name="j"):
    return (await view(controller, name))["status"] not in ("crashed", "restarting", "loading")


async def is_so(value):
    """Return the value; for until()."""
    return value
