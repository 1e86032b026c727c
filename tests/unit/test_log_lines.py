"""Log lines with numbers: who follows them neither misses nor repeats one."""

import pytest

from iocmng.core.log_lines import LogPage, NumberedLog


def told(lines, number, missed=False, generation=0):
    """Return a page whose lines are all of one generation."""
    return LogPage(lines, number, missed, (generation,) * len(lines))


@pytest.fixture
def log():
    """A log that keeps four lines, numbered from 101."""
    log = NumberedLog(4, 100)
    log.extend("abc")
    return log


def test_the_newest_lines_and_their_number(log):
    """As many as are asked for, and the number of the last one."""
    assert log.newest(2) == told(("b", "c"), 103)
    assert log.newest(9) == told(("a", "b", "c"), 103)
    assert NumberedLog(4, 100).newest(2) == told((), 100)


def test_pages_give_each_line_once(log):
    """Page by page, with lines that come meanwhile, every line comes once and in its order."""
    seen, after = [], 0
    for more in ("d", "e", "", "fg"):
        page = log.following(after, 2)
        seen, after = seen + list(page.lines), page.next
        assert not page.missed
        log.extend(more)
    assert seen == ["a", "b", "c", "d", "e"]
    assert log.following(after, 9) == told(("f", "g"), 107)
    assert log.following(107, 9) == told((), 107)


def test_lines_that_are_gone_are_told_of(log):
    """If lines were dropped before they were asked for, the page says so and begins with the oldest there is."""
    log.extend("defgh")
    assert log.following(102, 9) == told(("e", "f", "g", "h"), 108, missed=True)
    assert log.following(104, 9) == told(("e", "f", "g", "h"), 108)
    assert log.following(0, 1) == told(("e",), 105, missed=True)


def test_a_number_of_an_earlier_life_gives_all_and_says_that_some_may_be_missing():
    """A log that begins anew has higher numbers, so an old number brings all of it."""
    log = NumberedLog(4, 500)
    log.extend("x")
    assert log.following(103, 9) == told(("x",), 501, missed=True)


def test_a_number_that_is_too_high_is_one_of_an_earlier_log(log):
    """A clock that was set back must not silence whoever follows."""
    assert log.following(999, 9) == told(("a", "b", "c"), 103, missed=True)


def test_each_line_has_its_generation(log):
    """So that it can be seen which version of a plugin has written what."""
    log.extend("d", generation=2)
    assert log.newest(2) == LogPage(("c", "d"), 104, False, (0, 2))
    assert log.following(102, 9).generations == (0, 2)


def test_long_lines_are_fewer():
    """A plugin that logs long texts takes no more memory of the Controller than another one."""
    log = NumberedLog(100, 0, most_characters=10)
    log.extend(["12345", "12345", "12", "1"])
    assert log.newest(9) == told(("12345", "12", "1"), 4)
    log.extend(["x" * 50])
    assert log.newest(9) == told(("x" * 50,), 5)
    assert log.following(3, 9) == told(("x" * 50,), 5, missed=True)
