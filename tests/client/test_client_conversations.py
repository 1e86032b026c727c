"""What takes more than one call, without a server and without time: patience, changes, lines that come once."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from served_api import RUNNING, SUCCESS, run_object

from iocmng.client.call import Call
from iocmng.client.conversations import Pause, Tell, log_followed, run_followed, run_to_end
from iocmng.errors import ServerUnreachable, UnknownPlugin


def hold(conversation: Generator[Any, Any, Any], *answers: Any) -> tuple[list[Call[Any]], list[Any], list[float], Any]:
    """Give the answers one by one; return the calls, what was told, the pauses, and the result or None."""
    calls, told, pauses, waiting = [], [], [], list(answers)
    reply: Any = None
    try:
        while True:
            step = conversation.throw(reply) if isinstance(reply, Exception) else conversation.send(reply)
            reply = None
            match step:
                case Call():
                    calls.append(step)
                    if not waiting:
                        return calls, told, pauses, None
                    reply = waiting.pop(0)
                case Tell(item):
                    told.append(item)
                case Pause(seconds):
                    pauses.append(seconds)
    except StopIteration as end:
        return calls, told, pauses, end.value


def page(*lines: str, after: int, missed: bool = False) -> dict[str, Any]:
    return {"name": "x", "lines": list(lines), "next": after, "missed": missed}


AWAY = ServerUnreachable("no answer")


def test_a_run_is_told_when_it_changes_and_no_more_often() -> None:
    """The same state, progress and message twice are told once; the pauses grow to a second."""
    started = {"run_id": 7, "run": run_object()}
    steps = [run_object(), *[run_object(**RUNNING)] * 9, run_object(**SUCCESS)]
    calls, told, pauses, result = hold(run_to_end("scan", None, None, 60), started, *steps)
    assert [run["state"] for run in told] == ["queued", "running", "success"]
    assert result == steps[-1]
    assert [call.method for call in calls] == ["POST", *["GET"] * 11]
    assert (pauses[0], pauses[-1]) == (0.1, 1.0)


def test_a_server_that_goes_is_waited_for() -> None:
    """A run that is waited for goes on without the client: its reads are made again until the patience ends."""
    run = run_object(**RUNNING)
    _, _, _, result = hold(run_followed("scan", 7, 60), run, AWAY, AWAY, run_object(**SUCCESS))
    assert result["state"] == "success"
    with pytest.raises(ServerUnreachable):
        hold(run_followed("scan", 7, 5), run, *[AWAY] * 50)
    conversation = run_followed("scan", 7, 5)
    with pytest.raises(ServerUnreachable):
        hold(conversation, AWAY)


def test_the_patience_is_counted_in_seconds() -> None:
    """The pauses before it gives up add up to it, and to not much more."""
    pauses: list[float] = []
    conversation = run_followed("scan", 7, 20)

    def give_up() -> None:
        step: Any = conversation.send(None)
        step = conversation.send(run_object(**RUNNING))
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
            step = conversation.throw(AWAY) if isinstance(step, Call) else conversation.send(None)

    with pytest.raises(ServerUnreachable):
        give_up()
    assert 20 <= sum(pauses) <= 26
    assert len(pauses) > 5


def test_a_start_is_never_made_twice() -> None:
    """Whether a run has begun is not known when the answer is lost, so it is not asked for again."""
    calls, *_ = [], None
    conversation = run_to_end("scan", None, None, 60)
    calls.append(conversation.send(None))
    with pytest.raises(ServerUnreachable):
        conversation.throw(AWAY)
    assert len(calls) == 1


def test_log_lines_are_asked_for_behind_the_last_one() -> None:
    """Each page begins where the one before has ended; pages without lines are not told."""
    pages = [page("a", after=5), page(after=5), AWAY, page("b", "c", after=7), page(after=9, missed=True)]
    calls, told, _, _ = hold(log_followed("x", 3, 60), *pages)
    assert [call.query["after"] for call in calls] == [None, 5, 5, 5, 7, 9]
    assert calls[0].query["tail"] == 3
    assert told == [pages[0], pages[3], pages[4]]


def test_a_plugin_that_is_removed_ends_its_log() -> None:
    """The server's error is raised."""
    with pytest.raises(UnknownPlugin):
        hold(log_followed("x", 3, 60), page(after=5), UnknownPlugin("there is no plugin 'x'"))
