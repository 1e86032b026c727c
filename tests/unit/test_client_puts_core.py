"""How much of what clients write is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iocmng.core.client_puts import LONGEST_PAUSE, MOST_WRITERS, ClientPut, PutBook
from iocmng.testing import FakeClock

PUT = ClientPut("S:P:GAIN", "ada@console", "ca", "1", "2")


@pytest.fixture
def told() -> list[ClientPut]:
    return []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def book(told: list[ClientPut], clock: FakeClock) -> PutBook:
    return PutBook(told.append, clock.monotonic)


def test_each_of_few_puts_is_told_at_once(book: PutBook, told: list[ClientPut], clock: FakeClock) -> None:
    """An operator's puts stand there one by one."""
    for value in ("2", "3", "4"):
        book.note(replace(PUT, value=value))
        clock.advance(2)
        book.look()
        clock.advance(5)
    assert [put.value for put in told] == ["2", "3", "4"]
    assert {put.count for put in told} == {1}


def test_many_puts_are_told_by_their_number(book: PutBook, told: list[ClientPut], clock: FakeClock) -> None:
    """The first at once; the others once in a while, with the value before them and the last one."""
    for number in range(1000):
        book.note(replace(PUT, before=str(number), value=str(number + 1)))
    clock.advance(1)
    book.look()
    first, rest = told
    assert first == replace(PUT, before="0", value="1")
    assert rest == replace(PUT, before="1", value="1000", count=999)
    assert "999 more puts" in rest.sentence


def test_a_client_that_goes_on_is_told_ever_more_seldom(book: PutBook, told: list[ClientPut], clock: FakeClock) -> None:
    """An hour of puts each second is about a line a minute, and none is forgotten."""
    for _ in range(3600):
        book.note(PUT)
        clock.advance(1)
        book.look()
    book.look(everything=True)
    assert sum(put.count for put in told) == 3600
    assert len(told) <= 3600 / LONGEST_PAUSE + 10


def test_each_client_is_told_for_itself(book: PutBook, told: list[ClientPut]) -> None:
    """A flood by one does not hide the put of another, nor that to another PV."""
    for _ in range(100):
        book.note(PUT)
    book.note(replace(PUT, who="bob@office"))
    book.note(replace(PUT, pv="S:P:ENABLE"))
    assert [(put.pv, put.who) for put in told] == [
        ("S:P:GAIN", "ada@console"),
        ("S:P:GAIN", "bob@office"),
        ("S:P:ENABLE", "ada@console"),
    ]


def test_forged_names_do_not_grow_without_end(book: PutBook, told: list[ClientPut], clock: FakeClock) -> None:
    """A client that calls itself something else with each put is told by the number."""
    for number in range(10_000):
        book.note(replace(PUT, who=f"user{number}@host"))
    assert len(told) == MOST_WRITERS
    for _ in range(2):
        clock.advance(1)
        book.look()
    assert told[-1].count == 10_000 - MOST_WRITERS
    assert "9800 more puts by other clients" in told[-1].sentence
    book.note(PUT)
    assert told[-1] == PUT


def test_nothing_is_lost_at_the_end(book: PutBook, told: list[ClientPut]) -> None:
    """What was only counted is told when the plugin ends."""
    book.note(PUT)
    book.note(PUT)
    book.look(everything=True)
    assert [put.count for put in told] == [1, 1]


def test_a_name_is_told_in_one_line() -> None:
    """A client chooses the name of its user; it cannot write lines of its own into the log with it."""
    put = ClientPut("P:X", "eve\n2026-01-01 INFO all is well@host", "ca", "1", "2\n3")
    assert put.sentence == r"P:X written by eve\n2026-01-01 INFO all is well@host over ca: '1' -> '2\n3'"
