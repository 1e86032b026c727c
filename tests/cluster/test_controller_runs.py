"""Runs of jobs in the Controller as a plain class, with a launcher that the test holds in its hand: no Ray."""

import asyncio
from dataclasses import replace

import pytest
from controller_support import REJECTED, request, running, until, view
from fakes import FakeLauncher, MemoryStore
from run_support import ask, ends, goes_on, is_active, is_so, job, states

from iocmng.core.runs import Run, RunCause, RunReport, RunRequest, RunState
from iocmng.core.spec import Report
from iocmng.errors import (
    PluginCrashed,
    StateUnavailable,
    TooManyRuns,
    UnknownPlugin,
    UnknownRun,
    WrongKind,
    WrongState,
)

# One at a time


async def test_eight_clients_at_once_run_one_after_the_other():
    """Each has its own run and result; never two go on at once, and the ids rise."""
    async with job(holds=False) as (controller, launcher, store):
        asked = [controller.run_job("j", RunRequest({"n": n}), True) for n in range(8)]
        runs = [run for run, _ in await asyncio.gather(*asked)]
        assert [run.state for run in runs] == [RunState.SUCCESS] * 8
        assert sorted(run.id for run in runs) == list(range(1, 9))
        assert [order.parameters["n"] for order in launcher.handles[0].orders.values()] == list(range(8))
        open_now = 0
        for _, state in store.run_states:
            open_now += {"running": 1, "success": -1}.get(state, 0)
            assert open_now <= 1
        assert (await view(controller, "j"))["runs"] == {
            "queued": 0,
            "running": [],
            "last": {"run_id": 8, "state": "success"},
        }


async def test_a_run_is_kept_before_its_process_hears_of_it():
    """What the store cannot keep is not run, and leaves nothing."""
    async with job() as (controller, launcher, store):
        store.full = True
        with pytest.raises(StateUnavailable):
            await ask(controller)
        assert launcher.handles[0].orders == {}
        store.full = False
        run = await ask(controller)
        assert states(store, run.id) == ["running"]
        store.full = True
        with pytest.raises(StateUnavailable):
            await ask(controller)
        store.full = False
        (await goes_on(launcher, run.id)).finish()
        await ends(controller, run.id)
        assert [one.id for one in await controller.runs("j", (), None, 10)] == [run.id]


async def test_a_run_that_waits_is_not_begun_while_that_cannot_be_kept():
    """It waits on, and runs when there is room."""
    async with job() as (controller, launcher, store):
        first, second = await ask(controller), await ask(controller)
        handle = await goes_on(launcher, first.id)
        store.full = True
        handle.finish()

        async def is_left():
            return (await view(controller, "j"))["runs"]["running"] == []

        await until(is_left)
        assert second.id not in handle.orders
        store.full = False
        await goes_on(launcher, second.id)
        handle.finish()
        assert (await ends(controller, first.id)).state is RunState.SUCCESS
        assert (await ends(controller, second.id)).state is RunState.SUCCESS
        await until(lambda: is_so(states(store, first.id)[-1] == "success"))


async def test_the_limit_of_the_queue():
    """Beyond it a run is refused, and says so; when one has ended there is room again."""
    async with job(queued=2) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(3)]
        with pytest.raises(TooManyRuns, match="2 runs of j wait already"):
            await ask(controller)
        (await goes_on(launcher, runs[0].id)).finish()
        await ends(controller, runs[0].id)
        await ask(controller)


async def test_a_job_that_takes_no_queue_still_runs():
    """With IOCMNG_RUNS_QUEUED=0 a run is refused while another goes on, and only then."""
    async with job(queued=0) as (controller, launcher, _):
        run = await ask(controller)
        with pytest.raises(TooManyRuns):
            await ask(controller)
        (await goes_on(launcher, run.id)).finish()
        await ends(controller, run.id)
        await ask(controller)


async def test_what_a_run_shows_while_it_goes_on():
    """Parameters, who, cause, times, progress, message and log lines; the list has all but the lines."""
    async with job() as (controller, launcher, _):
        run = await ask(controller, parameters={"x": 1}, who="somebody", timeout=60.0)
        handle = await goes_on(launcher, run.id)
        handle.version += 1
        report = Report(handle.version, "running", "RUNNING", "half", True, run=RunReport(run.id, 50.0, "half", ("a",)))
        handle.reports.put_nowait(report)

        async def is_half():
            return (await controller.run("j", run.id)).progress == 50.0

        await until(is_half)
        shown = await controller.run("j", run.id)
        assert (shown.parameters, shown.who, shown.cause, shown.timeout) == ({"x": 1}, "somebody", RunCause.REST, 60.0)
        assert (shown.state, shown.message, shown.log, shown.generation) == (RunState.RUNNING, "half", ("a",), 1)
        [listed] = await controller.runs("j", (RunState.RUNNING,), None, 10)
        assert (listed.progress, listed.log) == (50.0, ())
        handle.finish(data=[1], log=("a", "b"))
        ended = await ends(controller, run.id)
        assert (ended.log, ended.progress, ended.result["data"]) == (("a", "b"), 100.0, [1])
        assert ended.queued_at <= ended.started_at <= ended.ended_at


async def test_those_who_watch_are_told_of_each_state():
    """A snapshot brings the runs that changed, in short."""
    async with job() as (controller, launcher, _):
        seen = await controller.watch("", 0)
        run = await ask(controller, parameters={"x": 1})
        (await goes_on(launcher, run.id)).finish()
        await ends(controller, run.id)
        news = await controller.watch(seen.epoch, seen.version)
        assert [(one.id, one.state) for one in news.runs] == [(1, RunState.RUNNING), (1, RunState.SUCCESS)]
        assert all(one.parameters == {} and one.result is None for one in news.runs)


async def test_a_job_that_ends_without_success_is_failed():
    """Its result is kept."""
    async with job() as (controller, launcher, _):
        run = await ask(controller)
        (await goes_on(launcher, run.id)).finish(success=False, message="no beam")
        ended = await ends(controller, run.id)
        assert (ended.state, ended.message, ended.result["success"]) == (RunState.FAILED, "no beam", False)


async def test_only_jobs_that_are_up_have_runs():
    """A task is of the wrong kind, an unknown name unknown, a job that is not up in the wrong state."""
    async with running() as (controller, launcher):
        await controller.add(request("task"), None, wait=True)
        for call in (controller.runs("task", (), None, 1), controller.run("task", 1), ask(controller, "task")):
            with pytest.raises(WrongKind):
                await call
        with pytest.raises(UnknownPlugin):
            await controller.runs("nobody", (), None, 1)
    async with job() as (controller, launcher, _):
        with pytest.raises(UnknownRun, match="no run 77"):
            await controller.run("j", 77)
        launcher.fail["prepare"] = [REJECTED] * 50
        launcher.serving[0].crash()

        async def is_down():
            return (await view(controller, "j"))["status"] == "crashed"

        await until(is_down)
        with pytest.raises(WrongState, match="not up"):
            await ask(controller)


# Cancel


async def test_cancel_while_it_waits():
    """It ends at once and never runs; the next one takes its turn."""
    async with job() as (controller, launcher, store):
        runs = [await ask(controller) for _ in range(3)]
        cancelled, _ = await controller.cancel_run("j", runs[1].id, True)
        assert (cancelled.state, cancelled.message) == (RunState.CANCELLED, "cancelled before it began")
        assert cancelled.started_at is None
        handle = await goes_on(launcher, runs[0].id)
        handle.finish()
        await goes_on(launcher, runs[2].id)
        assert runs[1].id not in handle.orders
        assert states(store, runs[1].id) == ["queued", "cancelled"]


async def test_cancel_while_it_is_being_started():
    """Its process never hears of it."""

    class SlowStore(MemoryStore):
        gate = None

        def save_run(self, run):
            super().save_run(run)
            if run.state is RunState.RUNNING and self.gate is not None:
                self.gate.wait(5)

    import threading

    store = SlowStore()
    async with job(store) as (controller, launcher, _):
        store.gate = threading.Event()
        asking = asyncio.create_task(ask(controller))

        async def is_being_kept():
            return states(store, 1) == ["running"]

        await until(is_being_kept)
        line = controller._runs._lines["j"]
        line.running[1].ask(RunState.CANCELLED, "cancelled")
        store.gate.set()
        await asking
        ended = await ends(controller, 1)
        assert ended.state is RunState.CANCELLED
        assert launcher.handles[0].orders == {}


async def test_cancel_while_it_runs():
    """It is told at once, and the call returns when it has ended; its result is kept."""
    async with job() as (controller, launcher, _):
        run = await ask(controller)
        handle = await goes_on(launcher, run.id)
        ended, _ = await controller.cancel_run("j", run.id, True)
        assert (ended.state, ended.message) == (RunState.CANCELLED, "cancelled by its author")
        assert ended.result["success"] is False
        assert handle.asked_to_end == [run.id]
        assert launcher.alive() == [handle]


async def test_cancel_without_waiting():
    """The run is told to end, and still goes on as the call returns."""
    async with job(obeys=False, grace=60.0) as (controller, launcher, _):
        run = await ask(controller)
        handle = await goes_on(launcher, run.id)
        told, _ = await controller.cancel_run("j", run.id, False)
        assert told.state is RunState.RUNNING
        handle.finish(False, "later", was_cancelled=True)
        assert (await ends(controller, run.id)).state is RunState.CANCELLED


async def test_cancel_while_it_is_ending():
    """A run that ended with success before it noticed is a success; one that stopped for it is cancelled."""
    async with job(obeys=False, grace=60.0) as (controller, launcher, _):
        first = await ask(controller)
        handle = await goes_on(launcher, first.id)
        cancelling = asyncio.create_task(controller.cancel_run("j", first.id, True))
        await until(lambda: is_so(first.id in handle.asked_to_end))
        handle.finish(True, was_cancelled=False)
        ended, _ = await cancelling
        assert ended.state is RunState.SUCCESS
        second = await ask(controller)
        await goes_on(launcher, second.id)
        cancelling = asyncio.create_task(controller.cancel_run("j", second.id, True))
        await until(lambda: is_so(second.id in handle.asked_to_end))
        handle.finish(True, data="half of it", was_cancelled=True)
        ended, _ = await cancelling
        assert (ended.state, ended.result["data"]) == (RunState.CANCELLED, "half of it")


async def test_cancel_when_it_has_ended():
    """It is refused, and says how the run ended; an unknown run is unknown."""
    async with job(holds=False) as (controller, _, _store):
        run, _ = await controller.run_job("j", RunRequest(), True)
        with pytest.raises(WrongState, match="has ended already: success"):
            await controller.cancel_run("j", run.id, True)
        with pytest.raises(UnknownRun):
            await controller.cancel_run("j", 99, True)


async def test_a_run_of_another_job_is_unknown():
    """Its number alone does not reach it."""
    async with job() as (controller, launcher, _):
        launcher.segments["k"] = "K"
        await controller.add(request("k"), None, wait=True)
        run = await ask(controller, "j")
        for call in (controller.cancel_run("k", run.id, True), controller.run("k", run.id)):
            with pytest.raises(UnknownRun):
                await call


async def test_a_job_that_ignores_cancel_is_replaced():
    """After the grace period its process is killed; this counts as no crash, and the queue goes on in the new one."""
    async with job(obeys=False) as (controller, launcher, _):
        run, following = await ask(controller), await ask(controller)
        old = await goes_on(launcher, run.id)
        ended, _ = await controller.cancel_run("j", run.id, True)
        assert (ended.state, ended.result) == (RunState.CANCELLED, None)
        assert "its process was replaced" in ended.message
        new = await goes_on(launcher, following.id)
        assert new is not old
        assert launcher.alive() == [new]
        shown = await view(controller, "j")
        assert (shown["crashes"], shown["restarts"]) == (0, 1)
        assert "did not within 0.05 s" in shown["last_exit"]
        assert any("told to end" in event.reason for event in await controller.events("j", 0, 100))
        await until(lambda: is_so(new.shown))
        assert new.shown == [(f"run {run.id}: {ended.message}", "FAILED")]
        new.finish()
        assert (await ends(controller, following.id)).state is RunState.SUCCESS


async def test_the_first_start_after_a_kill_does_not_wait():
    """However often a process is replaced for a run that ignores its end, there is no back-off."""
    async with job(obeys=False) as (controller, launcher, _):
        for _ in range(4):
            await until(lambda: is_active(controller))
            run = await ask(controller)
            await goes_on(launcher, run.id)
            await controller.cancel_run("j", run.id, True)
        assert (await view(controller, "j"))["crashes"] == 0


# Time-out


async def test_a_run_that_takes_too_long_is_told_and_marked():
    """Its result is kept where there is one."""
    async with job() as (controller, launcher, _):
        run, _ = await controller.run_job("j", RunRequest(timeout=0.02), True)
        assert (run.state, run.message) == (RunState.TIMED_OUT, "it took longer than 0.02 s; cancelled by its author")
        assert launcher.handles[0].asked_to_end == [run.id]


async def test_a_run_that_ignores_its_time_out_is_replaced():
    """In the same way; the setting holds where the run has no limit of its own."""
    async with job(obeys=False, timeout=0.02) as (controller, launcher, _):
        run, _ = await controller.run_job("j", RunRequest(), True)
        assert run.state is RunState.TIMED_OUT
        assert "it took longer than 0.02 s" in run.message
        assert not launcher.handles[0].is_alive
        await until(lambda: is_active(controller))
        assert (await ask(controller, timeout=30.0)).timeout == 30.0


# What dies


async def test_a_process_that_dies_loses_its_run():
    """It is lost with the reason, never a success; those that wait run in the next process."""
    async with job() as (controller, launcher, _):
        run, following = await ask(controller), await ask(controller)
        handle = await goes_on(launcher, run.id)
        handle.crash("the plugin's process ended with exit code 3")
        ended = await ends(controller, run.id)
        assert (ended.state, ended.result) == (RunState.LOST, None)
        assert ended.message.startswith("the plugin's process ended with exit code 3; nobody knows")
        new = await goes_on(launcher, following.id)
        assert new is not handle
        assert new.shown[0][1] == "FAILED"
        assert (await view(controller, "j"))["crashes"] == 1


async def test_what_a_lost_run_has_to_show_waits_for_the_next_process():
    """Also where the run's call is the first to tell that its process has ended."""
    async with job() as (controller, launcher, _):
        run = await ask(controller)
        handle = await goes_on(launcher, run.id)
        handle.is_alive = False
        handle.current.set_exception(PluginCrashed("the plugin's process ended"))
        ended = await ends(controller, run.id)
        await until(lambda: is_so("show in a dead process" in launcher.calls))
        handle.crash()
        await until(lambda: is_so(launcher.handles[-1].shown))
        assert launcher.handles[-1].shown == [(f"run {run.id}: {ended.message}", "FAILED")]


async def test_a_run_outlives_the_controllers_death():
    """The next Controller waits for its end, which is told as what it was; what waits begins then, in its order."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with job(store, launcher) as (controller, _, _store):
        run, waiting = await ask(controller), await ask(controller)
        handle = await goes_on(launcher, run.id)
    assert handle.is_alive
    launcher.found = [handle.found()]
    async with job(store, launcher) as (controller, _, _store):
        shown = await controller.run("j", run.id)
        assert (shown.state, shown.progress) == (RunState.RUNNING, 10.0)
        assert (await view(controller, "j"))["runs"]["running"] == [run.id]
        assert (await controller.run("j", waiting.id)).state is RunState.QUEUED
        third = await ask(controller)
        assert third.state is RunState.QUEUED
        handle.finish(data=7, log=("a line",))
        ended = await ends(controller, run.id)
        assert (ended.state, ended.result["data"], ended.log) == (RunState.SUCCESS, 7, ("a line",))
        await goes_on(launcher, waiting.id)
        assert third.id not in handle.orders
        handle.finish()
        assert (await ends(controller, waiting.id)).state is RunState.SUCCESS
        await goes_on(launcher, third.id)
        assert third.id == waiting.id + 1


@pytest.mark.parametrize(("success", "state"), [(True, RunState.SUCCESS), (False, RunState.FAILED)])
async def test_a_run_that_ended_while_there_was_no_controller(success, state):
    """It ends as what it was: its process has kept that."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with job(store, launcher) as (controller, _, _store):
        run = await ask(controller)
        handle = await goes_on(launcher, run.id)
    handle.finish(success, "as it was")
    launcher.found = [handle.found()]
    async with job(store, launcher) as (controller, _, _store):
        ended = await ends(controller, run.id)
        assert (ended.state, ended.message) == (state, "as it was")
        assert (await view(controller, "j"))["runs"]["running"] == []


async def test_a_run_that_was_told_to_end_before_the_controllers_death():
    """It is cancelled, or, where its time was over, timed out, also if the next Controller hears of that."""
    for timeout, state in ((None, RunState.CANCELLED), (0.01, RunState.TIMED_OUT)):
        store, launcher = MemoryStore(), FakeLauncher()
        async with job(store, launcher, obeys=False, grace=60.0) as (controller, _, _store):
            run = await ask(controller, timeout=timeout)
            handle = await goes_on(launcher, run.id)
            if timeout is None:
                await controller.cancel_run("j", run.id, False)
            await until(lambda handle=handle: is_so(handle.asked_to_end))
        handle.finish(False, "told to end", was_cancelled=True)
        launcher.found = [handle.found()]
        async with job(store, launcher) as (controller, _, _store):
            assert (await ends(controller, run.id)).state is state


async def test_the_time_limit_of_a_run_counts_from_its_start_under_the_controller_before():
    """The next Controller ends it when the rest of its time is over, and no later."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with job(store, launcher) as (controller, _, _store):
        run = await ask(controller, timeout=3600.0)
        handle = await goes_on(launcher, run.id)
    store.kept_runs[run.id] = replace(store.kept_runs[run.id], started_at=store.kept_runs[run.id].started_at - 3600)
    launcher.found = [handle.found()]
    async with job(store, launcher) as (controller, _, _store):
        assert (await ends(controller, run.id)).state is RunState.TIMED_OUT
        assert handle.asked_to_end == [run.id]


async def test_a_run_whose_process_died_with_the_controller_is_lost():
    """No process knows it; other jobs live, so what waits runs in its next process, whose PVs tell of it."""
    store, launcher = MemoryStore(), FakeLauncher()
    launcher.segments["k"] = "K"
    async with job(store, launcher) as (controller, _, _store):
        await controller.add(request("k"), None, wait=True)
        run, waiting = await ask(controller), await ask(controller)
        handle = await goes_on(launcher, run.id)
    launcher.found = [launcher.handles[1].found()]
    async with job(store, launcher) as (controller, _, _store):
        lost = await controller.run("j", run.id)
        assert lost.state is RunState.LOST
        assert "its process ended while there was no Controller" in lost.message
        new = await goes_on(launcher, waiting.id)
        assert new is not handle
        assert new.shown == [(f"run {run.id}: {lost.message}", "FAILED")]


async def test_a_run_that_goes_on_and_that_the_store_does_not_know_is_counted():
    """Nothing begins beside it, and nothing of it is kept."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with job(store, launcher) as (controller, _, _store):
        run = await ask(controller)
        handle = await goes_on(launcher, run.id)
    del store.kept_runs[run.id]
    launcher.found = [handle.found()]
    async with job(store, launcher) as (controller, _, _store):
        following = await ask(controller)
        assert following.state is RunState.QUEUED
        assert (await view(controller, "j"))["runs"]["running"] == [run.id]
        handle.finish()
        await goes_on(launcher, following.id)
        assert run.id not in store.kept_runs


async def test_a_put_to_run_is_not_taken_before_the_runs_of_the_controller_before():
    """It waits behind them, though the process tells of it first."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with job(store, launcher) as (controller, _, _store):
        run, waiting = await ask(controller), await ask(controller)
        handle = await goes_on(launcher, run.id)
    handle.wanted = 1
    found = handle.found()
    launcher.found = [replace(found, report=replace(found.report, wanted_runs=1))]
    async with job(store, launcher) as (controller, _, _store):
        handle.finish()
        await goes_on(launcher, waiting.id)
        assert list(handle.orders) == [run.id, waiting.id]
        handle.finish()
        await goes_on(launcher, waiting.id + 1)


async def test_a_restart_of_the_server_runs_nothing_by_itself():
    """What ran and what waited is lost, and says why; ids go on."""
    store = MemoryStore()
    async with job(store) as (controller, launcher, _):
        run, waiting = await ask(controller), await ask(controller)
        await goes_on(launcher, run.id)
    later = FakeLauncher()
    later.bundles = launcher.bundles
    async with job(store, later, holds=False) as (controller, _, _store):
        assert (await controller.run("j", run.id)).state is RunState.LOST
        lost = await controller.run("j", waiting.id)
        assert (lost.state, lost.started_at) == (RunState.LOST, None)
        assert "must not move unasked" in lost.message
        await until(lambda: is_active(controller))
        new, _ = await controller.run_job("j", RunRequest(), True)
        assert new.id == waiting.id + 1
        assert list(later.handles[0].orders) == [new.id]


async def test_an_orderly_end_of_the_server_leaves_no_run_open():
    """What waits is cancelled, what runs is told and keeps its result."""
    store = MemoryStore()
    async with job(store) as (controller, launcher, _):
        run, waiting = await ask(controller), await ask(controller)
        await goes_on(launcher, run.id)
        await controller.shutdown()
        assert store.open_runs() == []
        assert store.kept_runs[run.id].state is RunState.CANCELLED
        assert store.kept_runs[run.id].message == "the server was stopped; told to end"
        assert store.kept_runs[waiting.id].state is RunState.CANCELLED
        assert "ask for it again" in store.kept_runs[waiting.id].message


async def test_an_orderly_end_of_the_server_does_not_wait_for_a_run_that_ignores_it():
    """Its process is ended, and the run says so."""
    store = MemoryStore()
    async with job(store, obeys=False) as (controller, launcher, _):
        run = await ask(controller)
        await goes_on(launcher, run.id)
        await controller.shutdown()
        assert store.open_runs() == []
        assert store.kept_runs[run.id].state is RunState.CANCELLED
        assert store.kept_runs[run.id].message == "the server was stopped; its process ended before it had"


# Changes of the job


@pytest.mark.parametrize("obeys", [True, False])
async def test_remove_during_a_run(obeys):
    """Who waits is told that it was cancelled; nothing of its history stays, and a new job of the name has none."""
    async with job(obeys=obeys) as (controller, launcher, store):
        waits = [asyncio.create_task(controller.run_job("j", RunRequest(), True)) for _ in range(3)]
        await goes_on(launcher, 1)
        await controller.remove("j", None)
        ended = [run for run, _ in await asyncio.gather(*waits)]
        assert {run.state for run in ended} == {RunState.CANCELLED}
        assert "removed" in ended[2].message
        assert store.kept_runs == {}
        await controller.add(request("j"), None, wait=True)
        assert await controller.runs("j", (), None, 10) == []
        assert (await view(controller, "j"))["runs"] == {"queued": 0, "running": [], "last": None}
        assert (await ask(controller)).id == 4


@pytest.mark.parametrize("obeys", [True, False])
async def test_restart_during_a_run(obeys):
    """The run is told to end and is cancelled with the old process; what waits runs in the new one."""
    async with job(obeys=obeys) as (controller, launcher, _):
        run, waiting = await ask(controller), await ask(controller)
        old = await goes_on(launcher, run.id)
        await controller.restart("j", None)
        ended = await ends(controller, run.id)
        assert ended.state is RunState.CANCELLED
        assert not old.is_alive
        new = await goes_on(launcher, waiting.id)
        assert new is not old
        assert (await controller.run("j", waiting.id)).generation == 2


async def test_a_run_that_is_asked_for_during_a_restart_waits_for_the_new_version():
    """So it is not cancelled a moment after it has begun."""
    async with job(holds=False) as (controller, launcher, _):
        launcher.gates["build"] = asyncio.Event()
        restart = asyncio.create_task(controller.restart("j", None))
        await until(lambda: is_so(launcher.calls.count("build") == 2))
        run = await ask(controller)
        assert run.state is RunState.QUEUED
        launcher.gates["build"].set()
        await restart
        assert (await ends(controller, run.id)).state is RunState.SUCCESS
        assert run.id in launcher.handles[1].orders


async def test_after_a_restart_that_failed_the_old_version_runs_what_waits():
    """The old process has never ended."""
    async with job(holds=False) as (controller, launcher, _):
        launcher.gates["build"], launcher.fail["build"] = asyncio.Event(), [REJECTED]
        restart = asyncio.create_task(controller.restart("j", None))
        await until(lambda: is_so(launcher.calls.count("build") == 2))
        run = await ask(controller)
        launcher.gates["build"].set()
        await asyncio.gather(restart, return_exceptions=True)
        assert (await ends(controller, run.id)).state is RunState.SUCCESS
        assert run.id in launcher.handles[0].orders


# RUN


async def test_run_pv_starts_a_run():
    """Each put counts; cause is pv, who is the client or, unknown, RUN; the parameters are the job's own."""
    async with job(holds=False) as (controller, launcher, _):
        handle = launcher.handles[0]
        handle.version, handle.wanted = handle.version + 1, 2
        for _ in range(2):  # what one report has told, another may tell again
            handle.reports.put_nowait(Report(handle.version, "loaded", "IDLE", "", wanted_runs=2))

        async def have_ended():
            return len(await controller.runs("j", (RunState.SUCCESS,), None, 10)) == 2

        await until(have_ended)
        runs = await controller.runs("j", (), None, 10)
        assert [(run.cause, run.who) for run in runs] == [(RunCause.PV, "RUN"), (RunCause.PV, "ada@console")]
        assert [run.parameters for run in runs] == [{}, {}]


async def test_run_pv_with_a_full_queue_is_told_in_message():
    """The operator sees it where he looks."""
    async with job(queued=1) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        handle = await goes_on(launcher, runs[0].id)
        handle.version, handle.wanted = handle.version + 1, 1
        handle.reports.put_nowait(Report(handle.version, "running", "RUNNING", "", True, wanted_runs=1))
        await until(lambda: is_so(handle.shown))
        message, state = handle.shown[0]
        assert message.startswith("RUN was refused: 1 runs of j wait already")
        assert state == ""


async def test_runs_leave_nothing_in_the_controllers_memory():
    """However many there were: no line, no open run, and the history is as long as it may be."""
    store = MemoryStore()
    store.runs_kept = 5
    async with job(store, holds=False) as (controller, _, _store):
        for _ in range(50):
            await controller.run_job("j", RunRequest(), True)
        runs = controller._runs

        async def is_empty():
            return not (runs._lines or runs._book._open or runs._asides)

        await until(is_empty)
        assert [run.id for run in await controller.runs("j", (), None, 100)] == [50, 49, 48, 47, 46]


def test_a_run_has_a_plain_face():
    """A queued run has neither times nor result."""
    run = Run(1, "j", RunState.QUEUED, 0.0)
    assert (run.started_at, run.ended_at, run.result, run.has_ended) == (None, None, None, False)
