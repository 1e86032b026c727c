"""The replica's copy: follows changes, survives the loss of the Controller, waits for what it promised."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_fakes import FakeController, plugin_object

from iocmng.api.json_bytes import encode
from iocmng.api.snapshot import FollowTimes, SnapshotFollower
from iocmng.api.table import PluginTable
from iocmng.core.backoff import Backoff
from iocmng.core.builtin_pvs import Kind
from iocmng.core.state import Snapshot
from iocmng.errors import ServerUnavailable

TIMES = FollowTimes(first_snapshot=0.05, settle=0.05, backoff=Backoff(first=1.0, factor=2.0, limit=5.0))


@asynccontextmanager
async def following(controller: Any, times: FollowTimes = TIMES, **extra: Any) -> AsyncIterator[SnapshotFollower]:
    follower = SnapshotFollower(controller, times, **extra)
    await follower.start()
    try:
        yield follower
    finally:
        await follower.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until the condition holds; fail when it never does."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def test_start_returns_with_the_first_snapshot() -> None:
    """After the start, reads can be answered at once."""
    async with following(FakeController(plugin_object("a"))) as follower:
        assert follower.has_snapshot
        assert follower.ready
        assert list(follower.plugins) == ["a"]


async def test_start_goes_on_without_a_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    """A Controller that does not answer does not hold up the start; the log says so."""
    controller = FakeController(plugin_object("a"))
    controller.publishing.clear()
    async with following(controller) as follower:
        assert not follower.has_snapshot
        assert "no answer from the Controller yet" in caplog.text
        controller.publish()
        await until(lambda: follower.has_snapshot)


async def test_changes_are_laid_over_what_is_known() -> None:
    """Added, changed and removed plugins arrive; the others stay."""
    controller = FakeController(plugin_object("a"), plugin_object("b"))
    async with following(controller) as follower:
        controller.put(plugin_object("c"))
        controller.put(plugin_object("b", status="stopped"))
        version = controller.drop("a")
        assert await follower.wait_for(version)
        assert sorted(follower.plugins) == ["b", "c"]
        assert follower.plugins["b"]["status"] == "stopped"


async def test_wait_for_returns_only_when_the_version_was_seen() -> None:
    """wait_for holds until the copy shows the change."""
    controller = FakeController()
    async with following(controller, FollowTimes(settle=30)) as follower:
        controller.publishing.clear()
        version = controller.put(plugin_object("late"))
        waiting = asyncio.create_task(follower.wait_for(version))
        await asyncio.sleep(0)
        assert not waiting.done()
        controller.publish()
        assert await waiting
        assert "late" in follower.plugins


async def test_wait_for_has_a_limit() -> None:
    """A version that never comes gives False, not a call that hangs."""
    async with following(FakeController()) as follower:
        assert not await follower.wait_for(1_000_000)


async def test_a_new_life_of_the_controller_replaces_everything_and_ends_waits() -> None:
    """Versions of an earlier life are void: nobody waits for them, and plugins that are gone disappear."""
    controller = FakeController(plugin_object("old"))
    async with following(controller, FollowTimes(settle=30)) as follower:
        waiting = asyncio.create_task(follower.wait_for(1_000_000))
        await asyncio.sleep(0)
        controller.plugins = {"new": plugin_object("new")}
        controller.begin_new_life()
        assert await waiting
        assert list(follower.plugins) == ["new"]
        assert (follower.epoch, follower.version) == ("second life", 1)


async def test_a_lost_controller_leaves_the_last_state_and_is_tried_again_with_backoff(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While watch raises, the copy stays; the waits grow up to their limit; the log has one line for the loss."""
    caplog.set_level(logging.INFO)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 6:
            del controller.raises["watch"]
        await asyncio.sleep(0)

    controller = FakeController(plugin_object("a"))
    async with following(controller, sleep=sleep) as follower:
        controller.fail_watch(ServerUnavailable("the Controller cannot be reached"))
        await until(lambda: len(waits) == 3)
        assert list(follower.plugins) == ["a"]
        await until(lambda: len(waits) == 6)
        version = controller.put(plugin_object("b"))
        assert await follower.wait_for(version)
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert caplog.text.count("lost the Controller") == 1
    assert "answers again after 6 failed tries" in caplog.text


async def test_an_unexpected_error_does_not_end_the_follower() -> None:
    """Even an error that nobody thought of is followed by another try."""

    async def sleep(_: float) -> None:
        controller.raises.clear()

    controller = FakeController()
    async with following(controller, sleep=sleep) as follower:
        controller.fail_watch(RuntimeError("surprise"))
        await until(lambda: not controller.raises)
        assert await follower.wait_for(controller.put(plugin_object("a")))


async def test_changes_of_a_life_that_was_never_seen_make_it_ask_for_everything() -> None:
    """A part without its whole is not shown; the follower asks again from nothing."""
    asked: list[tuple[str, int]] = []

    class Confused:
        async def watch(self, epoch: str, after: int) -> Snapshot:
            asked.append((epoch, after))
            match len(asked):
                case 1:
                    return Snapshot("x", 5, True, {"a": plugin_object("a")}, True)
                case 2:
                    return Snapshot("y", 9, False, {"b": plugin_object("b")}, True)
                case 3:
                    return Snapshot("y", 9, True, {"b": plugin_object("b")}, True)
            return await asyncio.Future()

    async def sleep(_: float) -> None:
        assert list(follower.plugins) == ["a"]

    follower = SnapshotFollower(Confused(), TIMES, sleep=sleep)  # pyright: ignore[reportArgumentType]
    await follower.start()
    await until(lambda: len(asked) == 4)
    await follower.stop()
    assert asked == [("", 0), ("x", 5), ("", 0), ("y", 9)]
    assert list(follower.plugins) == ["b"]


async def test_stop_leaves_no_task() -> None:
    """After stop nothing runs on."""
    before = asyncio.all_tasks()
    async with following(FakeController()):
        pass
    assert asyncio.all_tasks() == before


def test_a_list_is_joined_once_per_change() -> None:
    """Two reads without a change between them get the same bytes, not equal ones."""
    table = PluginTable()
    table.replace({"b": plugin_object("b"), "a": plugin_object("a", "job"), "c": plugin_object("c", None)})
    first = table.list_json(None)
    table.update({})  # a long poll that ended without news
    assert table.list_json(None) is first
    assert [plugin["name"] for plugin in json.loads(first)["plugins"]] == ["a", "b", "c"]
    assert json.loads(table.list_json(Kind.JOB))["count"] == 1
    table.update({"b": None})
    assert json.loads(table.list_json(None))["count"] == 2


def test_a_change_encodes_only_what_changed() -> None:
    """The bytes of a plugin that did not change stay the same object."""
    table = PluginTable()
    table.replace({"a": plugin_object("a"), "b": plugin_object("b")})
    kept = table.plugin_json("a")
    table.update({"b": plugin_object("b", status="error")})
    assert table.plugin_json("a") is kept


def test_an_empty_table_lists_nothing() -> None:
    """No plugins: an empty list."""
    assert json.loads(PluginTable().list_json(None)) == {"plugins": [], "count": 0}


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        ([float("inf"), -float("inf")], [None, None]),
        ("half \ud800 pair", "half ? pair"),
        ({"\udc00": ("\ud800", 1.5, None, True)}, {"?": ["?", 1.5, None, True]}),
        ({1: 2}, {"1": 2}),
        (b"\xff", "_w=="),
        (2**70, 2**70),
    ],
)
def test_whatever_a_plugin_holds_becomes_json(value: Any, expected: Any) -> None:
    """One plugin's odd value never spoils an answer."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    assert json.loads(encode({"value": value}), parse_constant=refuse) == {"value": expected}


@pytest.mark.parametrize("value", [CYCLE, Unprintable(), object(), ["\ud800", CYCLE], {"\ud800": Unprintable()}])
def test_values_that_are_no_data_still_become_json(value: Any) -> None:
    """A cycle or a strange object gives some text, not an error."""
    assert "value" in json.loads(encode({"value": value}))
