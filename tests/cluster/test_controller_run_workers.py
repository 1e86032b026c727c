"""Runs of a job with `concurrency` in further processes, in the Controller as a plain class: no Ray."""

import asyncio
from dataclasses import replace

import pytest
from controller_support import REJECTED, request, until, view
from fakes import FakeLauncher, MemoryStore
from run_support import ask, ends, goes_on, is_so, job, states

from iocmng.cluster import run_workers
from iocmng.core.manifest import Manifest
from iocmng.core.runs import RunReport, RunRequest, RunState
from iocmng.core.spec import Report


def launcher_for(concurrency):
    launcher = FakeLauncher()
    launcher.manifest = Manifest(concurrency=concurrency)
    return launcher


@pytest.mark.parametrize("concurrency", [2, 3])
async def test_as_many_go_on_at_once_as_config_says(concurrency):
    """One in the job's own process, each further one in a process of its own; the next one waits."""
    async with job(launcher=launcher_for(concurrency)) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(concurrency + 1)]
        handles = [await goes_on(launcher, run.id) for run in runs[:concurrency]]
        assert len({id(handle) for handle in handles}) == concurrency
        assert [handle.is_worker for handle in handles] == [False] + [True] * (concurrency - 1)
        shown = (await view(controller, "j"))["runs"]
        assert (shown["queued"], shown["running"]) == (1, [run.id for run in runs[:concurrency]])
        handles[-1].finish()
        await ends(controller, runs[concurrency - 1].id)
        assert await goes_on(launcher, runs[-1].id) is handles[-1]
        for handle in handles:
            handle.finish()
        for run in runs:
            assert (await ends(controller, run.id)).state is RunState.SUCCESS
        assert len(launcher.alive()) == concurrency


async def test_a_job_with_one_run_at_a_time_has_no_further_process():
    """However many wait."""
    async with job(launcher=launcher_for(1)) as (controller, launcher, _):
        for _ in range(5):
            await ask(controller)
        await goes_on(launcher, 1)
        assert len(launcher.handles) == 1


async def test_pvs_show_the_newest_run():
    """The further process has a copy of the PVs, and what it sets reaches the job's own process."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        assert further.orders[runs[1].id].pvs == {"GAIN": 2.0}
        assert own.orders[runs[0].id].pvs is None
        begins = own.followed[0]
        assert (begins[0], begins[1].state, begins[1].running) == (runs[1].id, "RUNNING", True)
        run = RunReport(runs[1].id, 50.0, "half", ("line",))
        further.reports.put_nowait(Report(7, "running", "RUNNING", "half", True, run=run, puts=(("OUT", 3, None),)))
        await until(lambda: is_so(len(own.followed) > 1))
        number, report = own.followed[1]
        assert (number, report.puts, report.message) == (runs[1].id, (("OUT", 3, None),), "half")
        shown = await controller.run("j", runs[1].id)
        assert (shown.progress, shown.log) == (50.0, ("line",))
        further.finish(message="found it")
        assert (await ends(controller, runs[1].id)).state is RunState.SUCCESS
        assert own.followed[-1][1].running is False


async def test_a_further_process_ends_when_it_has_nothing_to_do(monkeypatch):
    """The job's own one stays."""
    monkeypatch.setattr(run_workers, "IDLE_FOR", 0.01)
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        further.finish()
        await until(lambda: is_so(not further.is_alive))
        assert launcher.alive() == [own]
        assert (await view(controller, "j"))["crashes"] == 0


async def test_a_further_process_that_dies_loses_its_run_alone():
    """The other one goes on, and the PVs show what happened."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        further.crash("the plugin's process ended with exit code 9")
        lost = await ends(controller, runs[1].id)
        assert lost.state is RunState.LOST
        assert "exit code 9" in lost.message
        assert own.followed[-1][1].state == "FAILED"
        assert (await controller.run("j", runs[0].id)).state is RunState.RUNNING
        assert ((await view(controller, "j"))["crashes"], own.is_alive) == (0, True)


async def test_the_jobs_own_process_may_die_beside_a_run_in_a_further_one():
    """That one goes on."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        own.crash()
        assert (await ends(controller, runs[0].id)).state is RunState.LOST
        further.finish()
        assert (await ends(controller, runs[1].id)).state is RunState.SUCCESS


async def test_cancel_in_a_further_process():
    """One that ignores it is killed alone."""
    async with job(launcher=launcher_for(2), obeys=False) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        ended, _ = await controller.cancel_run("j", runs[1].id, True)
        assert (ended.state, further.is_alive, own.is_alive) == (RunState.CANCELLED, False, True)
        assert "its process was replaced" in ended.message
        own.finish()
        assert (await ends(controller, runs[0].id)).state is RunState.SUCCESS


async def test_without_a_further_process_a_run_waits_for_the_own_one():
    """What cannot be had costs no run."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        launcher.fail["prepare_runs"] = [REJECTED] * 5
        runs = [await ask(controller) for _ in range(2)]
        own = await goes_on(launcher, runs[0].id)
        await until(lambda: is_so(launcher.calls.count("prepare_runs") == 1))
        own.finish()
        assert await goes_on(launcher, runs[1].id) is own
        assert launcher.calls.count("prepare_runs") == 1
        assert launcher.alive() == [own]


@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize("change", ["restart", "remove", "shutdown"])
async def test_further_processes_end_with_their_job(change, obeys):
    """Whatever ends the job's own process ends them, too, and their runs are cancelled."""
    async with job(launcher=launcher_for(3), obeys=obeys) as (controller, launcher, store):
        waits = [asyncio.create_task(controller.run_job("j", RunRequest(), True)) for _ in range(3)]
        for number in (1, 2, 3):
            await goes_on(launcher, number)
        old = launcher.alive()
        assert len(old) == 3
        await (controller.shutdown() if change == "shutdown" else getattr(controller, change)("j", None))
        assert not any(handle.is_alive for handle in old)
        assert {run.state for run, _ in await asyncio.gather(*waits)} == {RunState.CANCELLED}
        assert store.open_runs() == []
        if change == "restart":
            launcher.holds_runs = False
            run, _ = await controller.run_job("j", RunRequest(), True)
            assert (run.state, run.generation) == (RunState.SUCCESS, 2)


@pytest.mark.parametrize("change", ["remove", "shutdown"])
async def test_further_processes_end_with_a_job_whose_own_process_is_gone(change):
    """Nothing of it is left, whatever the state of the job."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, store):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        launcher.fail["prepare"] = [REJECTED] * 50
        own.crash()

        async def is_down():
            return (await view(controller, "j"))["status"] == "crashed" and len(launcher.alive()) == 1

        await until(is_down)
        assert launcher.alive() == [further]
        await (controller.shutdown() if change == "shutdown" else controller.remove("j", None))
        assert launcher.alive() == []
        assert store.open_runs() == []


async def test_remove_while_a_further_process_is_being_made():
    """Nothing of it is left."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        launcher.gates["prepare_runs"] = asyncio.Event()
        for _ in range(2):
            await ask(controller)
        await until(lambda: is_so("prepare_runs" in launcher.calls))
        await controller.remove("j", None)
        assert launcher.alive() == []
        await controller.add(request("j"), None, wait=True)
        assert len(launcher.alive()) == 1


async def test_the_run_that_waits_is_cancelled_while_its_process_is_being_made():
    """It never runs, and the process waits for another."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, store):
        launcher.gates["prepare_runs"] = asyncio.Event()
        runs = [await ask(controller) for _ in range(2)]
        await until(lambda: is_so("prepare_runs" in launcher.calls))
        ended, _ = await controller.cancel_run("j", runs[1].id, True)
        launcher.gates["prepare_runs"].set()
        assert ended.state is RunState.CANCELLED
        third = await ask(controller)
        assert (await goes_on(launcher, third.id)).is_worker
        assert states(store, runs[1].id) == ["queued", "cancelled"]


HANGS = Report(7, "error", "FAILED", "execute() has not returned for 1 s", True, hung=True)


async def test_a_run_that_hangs_in_a_further_process_is_ended_by_the_watchdog():
    """As in the job's own one: the process is killed, its run is lost and says why; the next has another one."""
    launcher = launcher_for(2)
    launcher.manifest = Manifest.model_validate({"concurrency": 2, "watchdog": {"seconds": 1, "restart": True}})
    async with job(launcher=launcher) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(3)]
        own, further = [await goes_on(launcher, run.id) for run in runs[:2]]
        further.reports.put_nowait(HANGS)
        lost = await ends(controller, runs[1].id)
        assert lost.state is RunState.LOST
        assert "killed by its watchdog: execute() has not returned for 1 s" in lost.message
        assert (further.is_alive, own.is_alive) == (False, True)
        assert own.followed[-1][1].message == f"run {lost.id}: {lost.message}"
        assert await goes_on(launcher, runs[2].id) not in (own, further)


async def test_a_run_that_hangs_in_a_further_process_is_left_alone_without_restart():
    """The PVs show that it hangs, and it may end."""
    launcher = launcher_for(2)
    launcher.manifest = Manifest.model_validate({"concurrency": 2, "watchdog": 1})
    async with job(launcher=launcher) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        further.reports.put_nowait(replace(HANGS, run=RunReport(runs[1].id, 0.0, HANGS.message)))
        await until(lambda: is_so(own.followed[-1][1].message == HANGS.message))
        further.finish()
        assert (await ends(controller, runs[1].id)).state is RunState.SUCCESS


async def test_a_further_process_that_does_not_answer_is_killed_where_its_watchdog_says_so():
    """A loop in C that holds Python's lock stops its reports as well."""
    launcher = launcher_for(2)
    launcher.manifest = Manifest.model_validate({"concurrency": 2, "watchdog": {"seconds": 0.1, "restart": True}})
    async with job(launcher=launcher) as (controller, launcher, _):
        own = launcher.handles[0]

        async def answers():
            while True:  # the job's own process does
                own.version += 1
                own.reports.put_nowait(own.report("loaded", running=False))
                await asyncio.sleep(0.02)

        answering = asyncio.create_task(answers())
        runs = [await ask(controller) for _ in range(2)]
        further = await goes_on(launcher, runs[1].id)
        lost = await ends(controller, runs[1].id)
        answering.cancel()
        assert (lost.state, further.is_alive, own.is_alive) == (RunState.LOST, False, True)
        assert "killed by its watchdog: it did not answer for" in lost.message


async def test_a_run_keeps_its_place_while_its_process_may_live_on_a_node_that_is_cut_off():
    """Until its lease is over nothing begins in its stead."""
    async with job(launcher=launcher_for(2)) as (controller, launcher, _):
        runs = [await ask(controller) for _ in range(3)]
        own, further = [await goes_on(launcher, run.id) for run in runs[:2]]
        further.unseen = 0.01
        further.crash("its node is lost")
        await until(
            lambda: is_so(further not in [one.handle for one in controller._runs._workers._workers.get("j", ())])
        )
        assert (await controller.run("j", runs[1].id)).state is RunState.RUNNING
        assert (await controller.run("j", runs[2].id)).state is RunState.QUEUED
        further.unseen = 0.0
        assert (await ends(controller, runs[1].id)).state is RunState.LOST
        assert await goes_on(launcher, runs[2].id) is not own


@pytest.mark.parametrize("when", ["it goes on", "it has ended"])
async def test_a_run_in_a_further_process_outlives_the_controllers_death(when):
    """It ends as what it was, and at no time more runs go on than may."""
    store, launcher = MemoryStore(), launcher_for(2)
    async with job(store, launcher) as (controller, _, _store):
        runs = [await ask(controller) for _ in range(3)]
        own, further = [await goes_on(launcher, run.id) for run in runs[:2]]
    if when == "it has ended":
        further.finish(data=2)
    launcher.found = [own.found(), further.found_further()]
    async with job(store, launcher) as (controller, _, _store):
        if when == "it goes on":
            assert (await view(controller, "j"))["runs"] == {"queued": 1, "running": [1, 2], "last": None}
            further.finish(data=2)
        ended = await ends(controller, runs[1].id)
        assert (ended.state, ended.result["data"]) == (RunState.SUCCESS, 2)
        assert await goes_on(launcher, runs[2].id) is further
        assert launcher.alive() == [own, further]
        for handle in (own, further):
            handle.finish()
        for run in runs:
            assert (await ends(controller, run.id)).state is RunState.SUCCESS


async def test_a_further_process_outlives_the_controller_and_the_jobs_own_process():
    """The server has not ended, so what waits runs: in the job's next process, beside the run that goes on."""
    store, launcher = MemoryStore(), launcher_for(2)
    async with job(store, launcher) as (controller, _, _store):
        runs = [await ask(controller) for _ in range(4)]
        own, further = [await goes_on(launcher, run.id) for run in runs[:2]]
    own.is_alive = False
    launcher.found = [further.found_further()]
    async with job(store, launcher) as (controller, _, _store):
        assert (await ends(controller, runs[0].id)).state is RunState.LOST
        new = await goes_on(launcher, runs[2].id)
        assert new not in (own, further)
        assert (await view(controller, "j"))["runs"]["running"] == [2, 3]
        assert (await controller.run("j", runs[3].id)).state is RunState.QUEUED
        further.finish()
        assert (await ends(controller, runs[1].id)).state is RunState.SUCCESS


async def test_a_further_process_without_a_run_or_a_job_is_ended_by_the_next_controller():
    """Nobody needs it."""
    store, launcher = MemoryStore(), launcher_for(2)
    async with job(store, launcher) as (controller, _, _store):
        runs = [await ask(controller) for _ in range(2)]
        own, further = [await goes_on(launcher, run.id) for run in runs]
        for handle, run in ((further, runs[1]), (own, runs[0])):
            handle.finish()
            await ends(controller, run.id)
        launcher.segments["k"] = "K"
        await controller.add(request("k"), None, wait=True)
        more = [await ask(controller, "k") for _ in range(2)]
        other = await goes_on(launcher, more[1].id)
    launcher.found = [own.found(), further.found_further(), other.found_further()]
    store.delete("k")
    async with job(store, launcher) as (controller, _, _store):
        await until(lambda: is_so(not further.is_alive and not other.is_alive))
        assert own.is_alive
