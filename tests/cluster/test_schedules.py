"""The scheduler on a clock that the test turns, and the Controller with schedules: no Ray."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from controller_support import request, running, until, view
from fakes import MemoryStore

from iocmng.cluster.registry import Registry
from iocmng.cluster.scheduler import CLOCK_WAS_WRONG, LATE, Scheduler
from iocmng.core.builtin_pvs import Kind
from iocmng.core.lifecycle import Phase
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.request import PluginChange
from iocmng.core.schedule import Schedule
from iocmng.core.source import LocalSource
from iocmng.core.spec import PluginFacts, PluginSpec
from iocmng.errors import InvalidRequest, WrongState

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
EACH_MINUTE = Schedule("* * * * *")


class Runs:
    """Notes what is started.

    Attributes:
        open: The run that has not ended, if there is one.
        error: Why none can be started.
        gate: While it is not set, no start of the job `slow` returns.
    """

    def __init__(self, clock):
        self.clock = clock
        self.started, self.parameters = [], []
        self.open = self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def open_scheduled_run(self, job):
        return self.open

    async def start_scheduled_run(self, job, parameters):
        if job == "slow":
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.started.append((job, f"{datetime.fromtimestamp(self.clock.now, UTC):%H:%M:%S}"))
        self.parameters.append(parameters)
        return len(self.started)

    @property
    def times(self):
        return [time for _, time in self.started]


class Bench:
    """A scheduler with a registry, a clock, and runs that are only noted."""

    def __init__(self):
        self.now = NOON + 1
        self.registry = Registry()
        self.runs = Runs(self)
        self.scheduler = Scheduler(self.registry, self.runs, lambda: self.now)
        self.registry.on_touch = self.scheduler.note
        self.registry.next_run_of = self.scheduler.next_run
        self.events = []
        self.registry.on_event = self.events.append

    def job(self, name="job", schedule=EACH_MINUTE, configured=None, kind=Kind.JOB):
        """Have a plugin come up."""
        self.registry.desire(PluginSpec(name, LocalSource("/d"), schedule=schedule))
        facts = PluginFacts(kind, "C", "", "T:X", "X", {}, {"inputs": {}, "outputs": {}}, None, None)
        self.registry.observe(name, Phase.FETCHING)
        self.registry.observe(name, Phase.PREPARING, facts=replace(facts, schedule=configured))
        self.registry.observe(name, Phase.STARTING)
        self.registry.observe(name, Phase.ACTIVE)

    def change(self, name="job", **changes):
        self.registry.desire(replace(self.registry.desired[name], **changes))

    async def at(self, seconds):
        """Let it be so many seconds after noon."""
        self.now = NOON + seconds
        self.scheduler.look()
        for _ in range(5):
            await asyncio.sleep(0)

    def next_run(self, name="job"):
        return self.registry.view(name)["next_run"]

    def told(self):
        return [event.reason for event in self.events if "skipped" in event.reason]


@pytest.fixture
async def bench():
    return Bench()


async def test_a_run_is_started_at_its_time_and_once(bench):
    """Not before, and not again, however often the clock is looked at; with the schedule's parameters."""
    bench.job(schedule=Schedule("* * * * *", "UTC", {"dose": 3}))
    for seconds in (1, 59.9, 60, 60.1, 61, 119.9, 120.4, 121):
        await bench.at(seconds)
    assert bench.runs.times == ["12:01:00", "12:02:00"]
    assert bench.runs.parameters == [{"dose": 3}, {"dose": 3}]
    assert bench.next_run() == "2026-11-24T12:03:00.000+00:00"


async def test_the_plugin_object_shows_schedule_and_next_run(bench):
    """As it is in force: of config.yaml, of the add, or none; and none for a task."""
    bench.job("configured", None, Schedule("0 6 * * *", "Europe/Rome"))
    bench.job("given", Schedule("0 7 * * *"), Schedule("0 6 * * *"))
    bench.job("off", Schedule("off"), Schedule("0 6 * * *"))
    bench.job("task", None, None, Kind.TASK)
    shown = {name: (bench.registry.view(name)["schedule"], bench.next_run(name)) for name in bench.registry.desired}
    assert shown == {
        "configured": (
            {"cron": "0 6 * * *", "timezone": "Europe/Rome", "parameters": {}},
            "2026-11-25T05:00:00.000+00:00",
        ),
        "given": ({"cron": "0 7 * * *", "timezone": "UTC", "parameters": {}}, "2026-11-25T07:00:00.000+00:00"),
        "off": (None, None),
        "task": (None, None),
    }


async def test_a_change_counts_at_once(bench):
    """A new schedule takes the place of the old one; one that is taken away ends; a removed job runs no more."""
    bench.job()
    bench.change(schedule=Schedule("30 * * * *"))
    assert bench.next_run() == "2026-11-24T12:30:00.000+00:00"
    bench.change(schedule=None)
    assert bench.next_run() is None
    bench.change(schedule=EACH_MINUTE)
    bench.registry.forget("job")
    await bench.at(200)
    assert bench.runs.started == []


async def test_a_change_repeats_no_minute(bench):
    """Also where the clock was put back a little before the change."""
    bench.job()
    await bench.at(60)
    await bench.at(58)
    bench.change(schedule=Schedule("*/1 * * * *"))
    await bench.at(60)
    assert bench.runs.times == ["12:01:00"]


async def test_what_was_due_while_the_job_was_down_is_not_made_up_for(bench):
    """Its time is skipped, an event says so, and the next one counts again."""
    bench.job()
    bench.runs.error = WrongState("job is not up")
    await bench.at(60)
    await bench.at(120)
    bench.runs.error = None
    await bench.at(180)
    assert bench.runs.times == ["12:03:00"]
    assert bench.told() == ["the run scheduled for 2026-11-24T12:01:00+00:00 was skipped: job is not up"]
    bench.runs.error = WrongState("job is not up")
    await bench.at(240)
    assert len(bench.told()) == 2, "after a run that was started, the next one that is skipped is told again"


async def test_two_runs_of_a_schedule_never_overlap(bench):
    """As long as one is queued or running the next ones are skipped."""
    bench.job()
    await bench.at(60)
    bench.runs.open = 7
    await bench.at(120)
    bench.runs.open = None
    await bench.at(180)
    assert bench.runs.times == ["12:01:00", "12:03:00"]
    assert bench.told() == [
        "the run scheduled for 2026-11-24T12:02:00+00:00 was skipped: run 7, which the schedule has started before, "
        "has not ended"
    ]


async def test_a_start_that_hangs_holds_up_nothing_else(bench):
    """Another job is started meanwhile, and the hanging one not a second time."""
    bench.job("slow")
    bench.runs.gate.clear()
    await bench.at(60)
    bench.job("quick", Schedule("2 * * * *"))
    await bench.at(120)
    assert bench.runs.started == [("quick", "12:02:00")]
    assert len(bench.told()) == 1
    bench.runs.gate.set()
    await bench.at(130)
    await bench.at(180)
    assert [name for name, _ in bench.runs.started] == ["quick", "slow", "slow"]


async def test_an_error_of_our_own_does_not_end_the_scheduler(bench):
    """The next run is started."""
    bench.job()
    bench.runs.error = ZeroDivisionError()
    await bench.at(60)
    bench.runs.error = None
    await bench.at(120)
    assert bench.runs.times == ["12:02:00"]


async def test_a_clock_put_forward_skips_what_it_jumped_over(bench):
    """What it jumped over is skipped once, not started, and what comes then is started in time."""
    bench.job(schedule=Schedule("*/5 * * * *"))
    await bench.at(3600 + 30)
    await bench.at(3600 + 300)
    assert bench.runs.times == ["13:05:00"]
    assert len(bench.told()) == 1


async def test_a_moment_of_delay_is_no_reason_to_skip(bench):
    """The server may have been busy."""
    bench.job()
    await bench.at(60 + LATE - 1)
    assert bench.runs.times == ["12:01:59"]


async def test_a_clock_put_back_repeats_nothing(bench):
    """The hour that comes a second time has had its runs."""
    bench.job()
    await bench.at(60)
    for seconds in (-3540, -60, 30, 60):
        await bench.at(seconds)
    await bench.at(120)
    assert bench.runs.times == ["12:01:00", "12:02:00"]


async def test_a_clock_that_was_wrong_begins_anew(bench):
    """After a step back of more than three hours the schedule counts from the new time on, not from the wrong one."""
    bench.job()
    await bench.at(60)
    await bench.at(-2 * CLOCK_WAS_WRONG)
    await bench.at(-2 * CLOCK_WAS_WRONG + 60)
    assert bench.runs.times == ["12:01:00", "06:01:00"]


async def test_a_controller_that_begins_anew_repeats_nothing(bench):
    """It counts from its own beginning: neither the minute that has just been run nor what it has missed."""
    bench.now = NOON + 60.2
    bench.scheduler = Scheduler(bench.registry, bench.runs, lambda: bench.now)
    bench.registry.on_touch = bench.scheduler.note
    bench.job()
    await bench.at(60.3)
    await bench.at(119)
    assert bench.runs.started == []
    await bench.at(120)
    assert bench.runs.times == ["12:02:00"]


async def test_it_wakes_by_itself():
    """The task sleeps until the next run, and wakes for a schedule that comes meanwhile."""
    bench = Bench()
    bench.now = NOON

    def passing():
        bench.now += 0.2
        return bench.now

    bench.scheduler._now = passing
    task = asyncio.create_task(bench.scheduler.run())
    await asyncio.sleep(0)
    bench.job(schedule=Schedule("* * * * * *"))
    async with asyncio.timeout(5):
        while len(bench.runs.started) < 3:  # noqa: ASYNC110  turns of the loop, not time
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def job_up(controller, launcher, config="", **fields):
    launcher.kind, launcher.manifest = Kind.JOB, parse_manifest(config)
    await controller.add(request(**fields), None, wait=True)
    return await view(controller)


async def test_an_add_may_say_when_a_job_runs():
    """The schedule of the add shows at once, is kept, and PATCH changes it without another process."""
    async with running() as (controller, launcher):
        shown = await job_up(controller, launcher, schedule={"cron": "0 6 * * *", "timezone": "Europe/Rome"})
        assert shown["schedule"]["timezone"] == "Europe/Rome"
        assert shown["next_run"] is not None
        await controller.change("p", None, PluginChange.model_validate({"schedule": "*/5 * * * *"}))
        shown = await view(controller)
        assert (shown["schedule"]["cron"], shown["generation"]) == ("*/5 * * * *", 1)
        assert controller._keeper.entry("p").spec.schedule == Schedule("*/5 * * * *")
        await controller.change("p", None, PluginChange.model_validate({"schedule": None}))
        assert (await view(controller))["schedule"] is None
        assert launcher.calls.count("start") == 1


async def test_a_task_gets_no_schedule():
    """Neither by PATCH."""
    async with running() as (controller, _):
        await controller.add(request(), None, wait=True)
        with pytest.raises(InvalidRequest, match="only a job"):
            await controller.change("p", None, PluginChange.model_validate({"schedule": "*/5 * * * *"}))


async def test_the_controller_starts_what_is_due():
    """A job with a schedule of seconds runs by itself, without anybody's call."""
    async with running() as (controller, launcher):
        await job_up(controller, launcher, schedule="* * * * * *")

        async def has_run():
            return launcher.calls.count("run_job") >= 2

        await until(has_run)


async def test_a_schedule_outlives_the_controller():
    """The next Controller, which takes over the job's process, knows it from the store and goes on with it."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await job_up(controller, launcher, schedule="0 6 * * *")
        handle = launcher.handles[-1]
    launcher.found = [handle.found()]
    async with running(store, launcher) as (controller, _):
        shown = await view(controller)
        assert (shown["schedule"]["cron"], shown["next_run"] is not None) == ("0 6 * * *", True)
        assert launcher.calls.count("start") == 1
