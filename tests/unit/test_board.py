"""What a plugin shows of itself: records and reports in step."""

import threading

import pytest
from base_fakes import FakePvs

from iocmng.base.board import LOG_LINES, StatusBoard
from iocmng.core.spec import Report

EVERYTHING = frozenset({"STATUS", "MESSAGE", "CYCLE_COUNT", "PROGRESS"})


@pytest.fixture
def pvs():
    """Serve the built-in PVs."""
    return FakePvs()


@pytest.fixture
def told():
    """Collect what the board tells its listener."""
    return []


@pytest.fixture
def board(pvs, told):
    """Return a board with all built-in PVs."""
    return StatusBoard(pvs, EVERYTHING, told.append)


def test_a_new_board_says_loaded(board):
    """Before anything was shown."""
    assert board.report() == Report(version=0, status="loaded", state="", message="")


def test_records_and_report_show_the_same(board, pvs):
    """What is shown stands in the record and in the report."""
    board.show(status="running", running=True, state="RUN", message="all is well")
    board.count(7, 2)
    assert (pvs.values["STATUS"], pvs.values["MESSAGE"], pvs.values["CYCLE_COUNT"]) == ("RUN", "all is well", 7)
    assert (board.state, board.message) == ("RUN", "all is well")
    report = board.report()
    assert (report.status, report.running, report.state, report.message) == ("running", True, "RUN", "all is well")
    assert (report.cycle_count, report.overruns) == (7, 2)


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"status": "error"}, ("error", True, "RUN", "text")),
        ({"running": False}, ("running", False, "RUN", "text")),
        ({"state": "ERROR"}, ("running", True, "ERROR", "text")),
        ({"message": ""}, ("running", True, "RUN", "")),
        ({}, ("running", True, "RUN", "text")),
    ],
)
def test_what_is_not_given_stays(board, change, after):
    """An empty message and False are values; only what is left out stays as it was."""
    board.show(status="running", running=True, state="RUN", message="text")
    board.show(**change)
    report = board.report()
    assert (report.status, report.running, report.state, report.message) == after


def test_the_message_is_there_before_the_state(board, pvs):
    """A client that sees ERROR finds its reason in MESSAGE already."""
    order = []
    pvs.put = lambda name, value: order.append(name)
    board.show(state="ERROR", message="no beam")
    assert order == ["MESSAGE", "STATUS"]


def test_only_pvs_that_the_plugin_has_are_written(pvs):
    """A job has no CYCLE_COUNT, a task no PROGRESS; the report is complete all the same."""
    board = StatusBoard(pvs, frozenset({"STATUS"}))
    board.show(state="RUN", message="text")
    board.count(3, 0)
    board.progress(50)
    assert pvs.values == {"STATUS": "RUN"}
    assert (board.report().cycle_count, board.report().message) == (3, "text")


def test_progress_is_written(board, pvs):
    """In percent."""
    board.progress(40)
    assert pvs.values["PROGRESS"] == 40


def test_the_cycle_counter_never_leaves_the_record(board, pvs):
    """After 2**31 cycles the record starts again at zero; the report has the whole number."""
    for cycles, shown in ((2**31 - 1, 2**31 - 1), (2**31, 0), (2**40 + 5, 5)):
        board.count(cycles, 0)
        assert pvs.values["CYCLE_COUNT"] == shown
        assert board.report().cycle_count == cycles


def test_every_change_is_told_with_its_urgency(board, told):
    """States at once, counters and log lines when there is time."""
    board.show(state="RUN")
    board.count(1, 0)
    board.log("line")
    assert told == [True, False, False]


def test_the_version_rises_with_every_change(board):
    """So that an older report never replaces a newer one; asking changes nothing."""
    versions = [board.report().version]
    for change in (lambda: board.show(message="a"), lambda: board.count(1, 0), lambda: board.log("line")):
        change()
        versions.append(board.report().version)
        assert board.report().version == versions[-1]
    assert versions == sorted(set(versions))


def test_the_listener_finds_what_it_is_told_of(pvs):
    """At the time of the call the report has the change already, and may be asked for."""
    seen = []
    board = StatusBoard(pvs, EVERYTHING, lambda urgent: seen.append((board.report(), board.state)))
    board.show(state="RUN")
    board.count(5, 1)
    board.log("line")
    assert [report.state for report, _ in seen] == ["RUN"] * 3
    assert seen[1][0].cycle_count == 5
    assert seen[2][0].log == ("line",)


def test_log_lines_are_handed_out_once_and_in_order(board):
    """The next report has only what came since."""
    board.log("one")
    board.log("two")
    assert board.report().log == ("one", "two")
    assert board.report().log == ()
    board.log("three")
    assert board.report().log == ("three",)


def test_a_flood_of_log_lines_keeps_the_newest(board):
    """A plugin that logs in every cycle while nobody asks does not fill the memory."""
    for number in range(LOG_LINES + 5):
        board.log(str(number))
    first, *others = board.report().log
    assert first.startswith("... 5 lines are left out here")
    assert others == [str(number) for number in range(5, LOG_LINES + 5)]
    board.log("last")
    assert board.report().log == ("last",)


def test_a_log_line_begins_no_line_but_its_own(board):
    """Whatever text is logged: it can neither pass for another line nor steer the terminal of who reads it."""
    board.log("one\n2026-01-01 ERROR forged\r\x1b[2Jx\x85\u2028y\udcff\tz\xa0\N{MICRO SIGN}A")
    assert board.report().log == (
        "one\n    2026-01-01 ERROR forged\\r\\x1b[2Jx\\x85\\u2028y\\udcff\tz\xa0\N{MICRO SIGN}A",
    )


def test_a_secret_of_several_lines_is_hidden(board):
    """A line is cleaned before its line ends are shown in another way."""
    board.hide(["one\ntwo"])
    board.log("it is one\ntwo")
    assert "two" not in board.report().log[0]


def test_a_very_long_line_is_cut(board):
    """One line must not fill the memory of the Controller."""
    board.log("x" * 1_000_000)
    assert len(board.report().log[0]) < 20_000


def test_lines_are_kept_with_their_numbers(pvs):
    """What keeps them beyond the process's end knows which of them were reported."""
    kept = []
    board = StatusBoard(pvs, EVERYTHING, keep=lambda number, line: kept.append((number, line)))
    board.log("one")
    assert board.report().logged == 1
    board.log("two")
    assert kept == [(1, "one"), (2, "two")]


def test_threads_lose_neither_lines_nor_versions(board):
    """Author's thread, heartbeat and Ray's threads use the board at the same time."""
    collected, done = [], threading.Event()

    def write(letter):
        for number in range(100):
            board.log(f"{letter}{number}")

    def read():
        while not done.is_set():
            collected.extend(board.report().log)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join(10)
    done.set()
    reader.join(10)
    last = board.report()
    collected.extend(last.log)
    assert last.version == 400
    assert sorted(collected) == sorted(f"{letter}{number}" for letter in "abcd" for number in range(100))
    for letter in "abcd":
        own = [line for line in collected if line[0] == letter]
        assert own == sorted(own, key=lambda line: int(line[1:]))
