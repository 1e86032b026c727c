"""Server-sent events: cut anywhere, broken anywhere, none missed and none twice."""

from __future__ import annotations

import json

import pytest

from iocmng.client.event_lines import EventLines
from iocmng.errors import ServerUnreachable

BEGINNING = b"retry: 3000\nid: 4\n\n"


def block(number: int, reason: str = "because") -> bytes:
    """Return one event as the server sends it."""
    data = json.dumps({"id": number, "reason": reason}, ensure_ascii=False)
    return f"id: {number}\nevent: plugin\ndata: {data}\n\n".encode()


def ids(lines: EventLines, *chunks: bytes) -> list[int]:
    return [event["id"] for chunk in chunks for event in lines.take(chunk)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_come_however_the_bytes_are_cut(size: int) -> None:
    """Chunks need not end where lines or characters do; comments and line ends of both kinds are taken."""
    whole = BEGINNING + block(5, "zu heiß\u2028: 80 °C") + b": still here\n\n" + block(6).replace(b"\n", b"\r\n")
    lines = EventLines(None, None, 60)
    lines.opened()
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    events = [event for chunk in chunks for event in lines.take(chunk)]
    assert [event["id"] for event in events] == [5, 6]
    assert events[0]["reason"] == "zu heiß\u2028: 80 °C"


def test_the_first_connection_begins_where_it_was_told_to() -> None:
    """Without a position it begins with what comes, and knows from the first block on where that was."""
    lines = EventLines("pump", None, 60)
    assert lines.call.parameters == {"plugin": "pump", "stream": "true"}
    lines.opened()
    ids(lines, BEGINNING)
    assert lines.call.parameters["after"] == "4"
    assert EventLines(None, 0, 60).call.parameters["after"] == "0"


def test_a_connection_that_breaks_inside_an_event_brings_it_again() -> None:
    """Only an event that was given out counts as seen."""
    lines = EventLines(None, 4, 60)
    lines.opened()
    assert ids(lines, block(5), block(6)[:-2]) == [5]
    assert lines.call.parameters["after"] == "5"
    lines.opened()
    assert ids(lines, block(6), block(7)) == [6, 7]
    assert lines.call.parameters["after"] == "7"


def test_a_server_that_was_never_there_is_an_error_at_once() -> None:
    """Patience is for a server that has gone."""
    with pytest.raises(ServerUnreachable):
        EventLines(None, None, 60).pause_after(ServerUnreachable("no answer"))


def test_a_server_that_has_gone_is_tried_until_the_patience_ends() -> None:
    """The pauses grow, begin anew with each connection, and add up to the patience."""
    lines = EventLines(None, None, 20)
    lines.opened()
    pauses: list[float] = []

    def give_up() -> None:
        while True:
            pauses.append(lines.pause_after(ServerUnreachable("no answer")))

    with pytest.raises(ServerUnreachable):
        give_up()
    assert 20 <= sum(pauses) <= 26
    assert pauses == sorted(pauses)
    lines.opened()
    assert lines.pause_after(None) == pauses[0]


def test_runs_are_told_only_to_who_asks() -> None:
    """They have no id, so the position stays; kinds that this version does not know are left out."""
    run, unknown = b'event: run\ndata: {"run_id": 3}\n\n', b'event: moon\ndata: {"id": 9}\n\n'
    lines = EventLines(None, 4, 60)
    lines.opened()
    assert ids(lines, run, unknown, block(5)) == [5]
    lines = EventLines(None, 4, 60, runs=True)
    lines.opened()
    assert [event.get("run_id") for chunk in (run, unknown, block(5)) for event in lines.take(chunk)] == [3, None]
    assert lines.call.parameters["after"] == "5"


def test_what_is_no_json_is_told() -> None:
    """Something else that answers is not taken for events."""
    lines = EventLines(None, None, 60)
    lines.opened()
    with pytest.raises(ServerUnreachable, match="no JSON"):
        ids(lines, b"event: plugin\ndata: hello\n\n")
