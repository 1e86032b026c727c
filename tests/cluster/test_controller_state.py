"""What the Controller keeps, and what a later one makes of it; without Ray, without a database."""

import pytest
from controller_support import REJECTED, request, running, until, view
from fakes import FakeLauncher, MemoryStore

from iocmng.cluster.boot import PluginsFile
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.state import Cause, GenerationResult
from iocmng.errors import InvalidRequest, PluginRejected, SourceUnavailable, StateUnavailable, WrongState


async def is_up(controller, *names):
    """Wait until these plugins run."""

    async def they_do():
        shown = [await view(controller, name) for name in names]
        return all(one and one["status"] == "running" for one in shown)

    await until(they_do)


async def test_what_was_added_comes_back_with_the_same_files():
    """A later Controller starts the plugin from its kept files, without asking the repository."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        await controller.add(request(parameters={"a": 1}), None, wait=True)
        await controller.shutdown()
    launcher.calls.clear()
    async with running(store, launcher) as (controller, _):
        await is_up(controller, "p")
        shown = await view(controller)
        assert (shown["commit"], shown["start_parameters"], shown["generation"]) == (None, {"a": 1}, 1)
        assert launcher.calls[0] == ("reopen", "digest-1")
        assert not [call for call in launcher.calls if call[0] == "fetch"]


async def test_lost_files_are_fetched_again_at_the_same_commit():
    """The branch may have moved on: the commit that ran before is what comes back."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        await controller.add(request(branch="main"), None, wait=True)
        await controller.shutdown()
    launcher.bundles.clear()
    async with running(store, launcher) as (controller, _):
        await is_up(controller, "p")
        assert launcher.sources[-1].commit == "commit-1"
        assert store.entries["p"].spec.files.digest == "digest-2"
        assert store.entries["p"].spec.source.commit is None


async def test_stop_lasts():
    """A stopped task is stopped after the next start of the server, and start lasts as well."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(), None, wait=True)
        await controller.set_running("p", None, False)
        await controller.shutdown()
    async with running(store, launcher) as (controller, _):

        async def is_loaded():
            return (await view(controller))["status"] == "loaded"

        await until(is_loaded)
        await controller.set_running("p", None, True)
        assert store.entries["p"].spec.running is True


@pytest.mark.parametrize(("choice", "stopped", "status"), [(True, True, "running"), (False, False, "loaded")])
async def test_auto_start_on_boot_decides_after_a_restart_of_the_server(choice, stopped, status):
    """true: running; false: stopped; whatever it was before. It is kept, too."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(auto_start_on_boot=choice), None, wait=True)
        if stopped:
            await controller.set_running("p", None, False)
        await controller.shutdown()
    async with running(store, launcher) as (controller, _):

        async def is_as_it_should():
            return (await view(controller))["status"] == status

        await until(is_as_it_should)
        assert store.entries["p"].spec.running is choice


async def test_remove_is_kept():
    """A removed plugin does not come back, nor does its credential; its saved values go."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(pat="secret"), None, wait=True)
        assert store.credentials == {"p": "secret"}
        await controller.remove("p", None)
        assert (store.entries, store.credentials, launcher.kept_values) == ({}, {}, frozenset())
    async with running(store, launcher) as (controller, _):
        assert (await controller.watch("", 0)).plugins == {}


@pytest.mark.parametrize("step", ["fetch", "prepare", "build", "start"])
async def test_nothing_is_kept_of_an_add_that_failed(step):
    """Neither entry nor credential nor values that it has saved."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        launcher.fail[step] = [REJECTED]
        with pytest.raises(PluginRejected):
            await controller.add(request(pat="secret"), None, wait=True)
        assert (store.entries, store.credentials, launcher.kept_values) == ({}, {}, frozenset())


async def test_without_wait_the_wish_is_kept_before_the_answer():
    """202 is a promise: the plugin comes back although the server ended before it was fetched."""
    store = MemoryStore()
    async with running(store) as (controller, _launcher):
        await controller.add(request(), None, wait=False)
        assert store.entries["p"].spec.files is None
        await is_up(controller, "p")
        assert store.entries["p"].spec.files.digest == "digest-1"


async def test_a_full_disk_refuses_changes_and_leaves_what_runs():
    """add, restart, start and remove raise; what runs goes on, nothing new is left; then everything works again."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(), None, wait=True)
        process = launcher.serving[0]
        store.full = True
        for change in (
            controller.add(request("other"), None, wait=True),
            controller.add(request("other"), None, wait=False),
            controller.restart("p", None),
            controller.remove("p", None),
            controller.change("p", None, PluginChange(autostart_order=3)),
        ):
            with pytest.raises(StateUnavailable):
                await change
        assert launcher.serving == launcher.alive() == [process]
        assert (await view(controller))["status"] == "running"
        assert await view(controller, "other") is None
        store.full = False
        await controller.restart("p", None)
        await controller.add(request("other"), None, wait=True)
        await controller.remove("p", None)


async def test_a_stop_does_not_wait_for_the_disk():
    """The task is stopped although that cannot be kept; the error says that it could not."""
    store = MemoryStore()
    async with running(store) as (controller, _launcher):
        await controller.add(request(), None, wait=True)
        store.full = True
        with pytest.raises(StateUnavailable):
            await controller.set_running("p", None, False)
        assert (await view(controller))["status"] == "stopped"


async def test_generations_tell_what_was_tried():
    """add, a restart that failed, and one that did not: numbers never repeat, the error says what runs."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(), None, wait=True)
        launcher.fail["build"] = [REJECTED]
        with pytest.raises(PluginRejected, match=r"import: no; generation 1 \(commit-\) runs on"):
            await controller.restart("p", None)
        await controller.restart("p", None)
        history = [(one.number, one.cause, one.result) for one in await controller.generations("p")]
        assert history == [
            (3, Cause.RESTART, GenerationResult.STARTED),
            (2, Cause.RESTART, GenerationResult.FAILED),
            (1, Cause.ADD, GenerationResult.STARTED),
        ]
        assert store.entries["p"].spec.generation == 3


async def test_a_version_that_does_not_start_gives_way_to_the_old_one_and_the_answer_says_both():
    """After the old one had to stop: it comes back, is what is kept, and is named in the error."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(parameters={"a": 1}), None, wait=True)
        launcher.fail["start"] = [REJECTED]
        with pytest.raises(PluginRejected, match=r"generation 1 \(commit-\) was started again"):
            await controller.change("p", None, PluginChange(parameters={"a": 2}))
        assert (await view(controller))["start_parameters"] == {"a": 1}
        assert store.entries["p"].spec.parameters == {"a": 1}
        assert store.entries["p"].spec.files.digest == "digest-1"


async def test_rollback_returns_to_the_files_and_parameters_of_then():
    """Without a number the newest different one; with a number that one; unknown ones are told."""
    async with running() as (controller, launcher):
        await controller.add(request(parameters={"a": 1}), None, wait=True)
        await controller.restart("p", None)
        await controller.change("p", None, PluginChange(parameters={"a": 2}))
        await controller.rollback("p", None, 1)
        shown = await view(controller)
        assert (shown["generation"], shown["start_parameters"]) == (4, {"a": 1})
        assert launcher.handles[-1].bundle.digest == "digest-1"
        await controller.rollback("p", None, None)
        assert launcher.handles[-1].bundle.digest == "digest-2"
        assert (await view(controller))["start_parameters"] == {"a": 2}
        with pytest.raises(WrongState, match="1"):
            await controller.rollback("p", None, 99)


async def test_a_rollback_of_the_only_generation_is_refused():
    """There is nothing to return to."""
    async with running() as (controller, _):
        await controller.add(request(), None, wait=True)
        with pytest.raises(WrongState, match="no such generation"):
            await controller.rollback("p", None, None)


async def test_parameters_change_without_a_new_fetch_and_a_branch_with_one():
    """PATCH replaces the process where it must, and only there."""
    async with running() as (controller, launcher):
        await controller.add(request(), None, wait=True)
        await controller.change("p", None, PluginChange(parameters={"a": 1}))
        assert launcher.handles[-1].bundle.digest == "digest-1"
        await controller.change("p", None, PluginChange(branch="other"))
        assert (launcher.sources[-1].branch, launcher.handles[-1].bundle.digest) == ("other", "digest-2")
        count = len(launcher.handles)
        await controller.change("p", None, PluginChange(autostart_order=5, auto_start_on_boot=False))
        shown = await view(controller)
        assert (len(launcher.handles), shown["autostart_order"], shown["auto_start_on_boot"]) == (count, 5, False)


async def test_a_branch_does_not_fit_a_local_directory():
    """It is told, and nothing is done."""
    async with running() as (controller, _):
        local = request().model_copy(update={"git_url": None, "local_path": "/srv"})
        await controller.add(local, None, wait=True)
        with pytest.raises(InvalidRequest, match="local directory"):
            await controller.change("p", None, PluginChange(branch="x"))


async def test_boot_follows_the_start_order():
    """Lower orders first, each group before the next; unset last."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        for name, order in (("x", None), ("b", 2), ("a", 2), ("z", 1)):
            await controller.add(request(name, autostart_order=order), None, wait=True)
        await controller.shutdown()
    began = len(launcher.handles)
    async with running(store, launcher) as (controller, _):
        await is_up(controller, "x", "a", "b", "z")
    names = [handle.name for handle in launcher.handles[began:]]
    assert names[0] == "z"
    assert set(names[1:3]) == {"a", "b"}
    assert names[3] == "x"


async def test_the_server_is_ready_when_everything_was_tried():
    """A plugin that fails at boot is tried again later and holds up nothing; the files of removed ones go."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        await controller.add(request("a"), None, wait=True)
        await controller.add(request("b"), None, wait=True)
        await controller.shutdown()
    launcher.fail["start"] = [REJECTED]
    async with running(store, launcher) as (controller, _):

        async def is_ready():
            return (await controller.watch("", 0)).ready

        await until(is_ready)
        assert launcher.kept_values == frozenset({"a", "b"})
        await is_up(controller, "a", "b")


async def test_a_living_process_is_taken_over_untouched():
    """The Controller alone was killed: the process goes on, with its generation; nothing is started."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        await controller.add(request(), None, wait=True)
    process = launcher.handles[-1]
    assert launcher.alive() == [process]
    launcher.found = [process.found()]
    async with running(store, launcher) as (controller, _):
        await is_up(controller, "p")
        assert launcher.handles == [process]
        process.crash()
        await until(lambda: _later(len(launcher.handles) == 2))
        await is_up(controller, "p")


async def _later(value):
    return value


async def test_a_living_process_of_an_old_generation_is_replaced():
    """The Controller was killed between keeping the new version and starting it."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        await controller.add(request(), None, wait=True)
        found = launcher.handles[-1].found()
        await controller.restart("p", None)
        launcher.serving[:] = []
    launcher.found = [found]
    launcher.serving.append(found.handle)
    found.handle.is_alive = True
    async with running(store, launcher) as (controller, _):
        await until(lambda: _later(not found.handle.is_alive))
        await is_up(controller, "p")
        assert launcher.handles[-1].bundle.digest == "digest-2"


async def test_a_living_process_that_nobody_wants_is_ended():
    """Its plugin was removed, or never answered for."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher) as (controller, _):
        await controller.add(request(), None, wait=True)
    launcher.found = [launcher.handles[-1].found()]
    store.entries.clear()
    async with running(store, launcher) as (controller, _):
        assert launcher.alive() == []
        assert (await controller.watch("", 0)).plugins == {}


async def test_a_plugin_on_a_node_that_cannot_be_seen_waits_for_its_lease():
    """It may still serve its PVs there; the entry says so; then it starts."""
    store, launcher = MemoryStore(), FakeLauncher()
    launcher.remote_node = "far"
    async with running(store, launcher) as (controller, _):
        await controller.add(request(), None, wait=True)
        assert store.entries["p"].remote_node == "far"
    launcher.serving.clear()
    launcher.lost_nodes = {"far": 0.3}
    started = len(launcher.handles)
    async with running(store, launcher) as (controller, _):
        shown = await view(controller)
        assert shown["status"] == "crashed"
        assert "far" in shown["message"]
        assert len(launcher.handles) == started
        await is_up(controller, "p")


async def test_the_plugins_file_is_desired_state():
    """Entries are added, changed and removed with the file; what a call has added stays, and what is unchanged too."""
    store, launcher = MemoryStore(), FakeLauncher()
    file = PluginsFile("/site/plugins.yaml", (request("a"), request("b"), request("c")))
    async with running(store, launcher, file) as (controller, _):
        await is_up(controller, "a", "b", "c")
        await controller.add(request("mine"), None, wait=True)
        await controller.set_running("a", None, False)
        assert (await view(controller, "a"))["owner"] == "/site/plugins.yaml"
        await controller.shutdown()
    file = PluginsFile("/site/plugins.yaml", (request("a"), request("b", parameters={"x": 1})))
    async with running(store, launcher, file) as (controller, _):
        await is_up(controller, "b", "mine")
        shown = {name: await view(controller, name) for name in ("a", "b", "c", "mine")}
        assert shown["a"]["status"] == "loaded"
        assert shown["b"]["start_parameters"] == {"x": 1}
        assert shown["c"] is None
        assert shown["mine"]["owner"] is None


async def test_a_file_with_a_faulty_entry_removes_nothing():
    """The faulty entry might be the one that is missing."""
    store, launcher = MemoryStore(), FakeLauncher()
    async with running(store, launcher, PluginsFile("/f", (request("a"), request("b")))) as (controller, _):
        await is_up(controller, "a", "b")
        await controller.shutdown()
    async with running(store, launcher, PluginsFile("/f", (request("a"),), ("entry 2 does not fit",))) as (
        controller,
        _,
    ):
        await is_up(controller, "a", "b")


async def test_what_a_job_brings_along_again_is_compared_by_its_contents():
    """Its directory has another name each time: same files run on, and the next restart takes them from the new one."""

    def entries(upload, **fields):
        return [PluginRequest(name=name, local_path=f"/up/{upload}/{name}", **fields) for name in ("a", "b")]

    async with running() as (controller, launcher):
        launcher.contents = {"/up/1/a": "A", "/up/1/b": "B", "/up/2/a": "A", "/up/2/b": "B2", "/up/3/a": "A"}
        await controller.apply("job", entries(1))
        applied, _ = await controller.apply("job", entries(2))
        assert [(one.name, one.action) for one in applied] == [("a", "unchanged"), ("b", "changed")]
        generations = [(await view(controller, name))["generation"] for name in "ab"]
        assert generations == [1, 2]
        await controller.restart("a", None)
        assert launcher.sources[-1].directory == "/up/2/a"
        applied, _ = await controller.apply("job", entries(3, parameters={"x": 1}))
        assert {one.action for one in applied} == {"changed"}


async def test_apply_does_the_same_while_everything_runs():
    """Each entry has its outcome; a failure stops nothing; a second apply changes nothing."""
    async with running() as (controller, launcher):
        await controller.apply("/f", [request("a"), request("b")])
        launcher.fail["fetch"] = [SourceUnavailable("no")]
        applied, version = await controller.apply("/f", [request("c"), request("b", parameters={"x": 1})])
        assert [(one.name, one.action) for one in applied] == [("a", "removed"), ("b", "failed"), ("c", "added")]
        assert version == controller._registry.announced
        applied, _ = await controller.apply("/f", [request("c"), request("b", parameters={"x": 1})])
        assert [(one.name, one.action) for one in applied] == [("b", "changed"), ("c", "unchanged")]
        assert (await view(controller, "b"))["generation"] == 3  # 2 has failed


async def test_events_tell_every_change_with_its_reason():
    """From loading over running to removed; they are kept, and their numbers go on in a later life."""
    store = MemoryStore()
    async with running(store) as (controller, launcher):
        await controller.add(request(), None, wait=True)
        seen = await controller.watch("", 0)
        await controller.set_running("p", None, False)
        news = await controller.watch(seen.epoch, seen.version)
        assert [event.status for event in news.events] == ["stopped"]
        await controller.remove("p", None)
        events = await controller.events("p", 0, 100)
        words = [(event.previous, event.status) for event in events]
        assert words == [
            (None, "loading"),
            ("loading", "running"),
            ("running", "stopped"),
            ("stopped", "removed"),
        ]
        assert events[0].reason == "add"
        await controller.shutdown()
    async with running(store, launcher) as (controller, _):
        await controller.add(request(), None, wait=True)
        assert [event.id for event in await controller.events(None, 0, 100)] == list(range(1, 7))
