"""Schedules: which expressions are right, and when the next run is due, in all seasons."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocmng.base.identity import identify
from iocmng.base.job import JobBase
from iocmng.base.task import TaskBase
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.plugins_file import Action, applied_form, changed_spec, plan
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.schedule import OFF, Schedule, check_cron, check_timezone, effective
from iocmng.core.schedule_section import schedule_of
from iocmng.core.state import PluginEntry
from iocmng.errors import PluginRejected

ROME = ZoneInfo("Europe/Rome")


def runs(cron, after, number=3, timezone="Europe/Rome"):
    """Return the next runs as the clock of the time zone shows them, with the offset from UTC."""
    schedule = Schedule(cron, timezone)

    def following():
        moment = after
        while (moment := schedule.next_run(moment)) is not None:
            yield moment

    zone = ZoneInfo(timezone)
    return [f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S%z}" for moment in itertools.islice(following(), number)]


def rome(text):
    return datetime.fromisoformat(text).replace(tzinfo=ROME)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/5 * * * *", ["2026-11-24 12:05:00+0100", "2026-11-24 12:10:00+0100"]),
        ("30 6 * * 1-5", ["2026-11-25 06:30:00+0100", "2026-11-26 06:30:00+0100"]),
        ("0 0 * * 0", ["2026-11-29 00:00:00+0100", "2026-12-06 00:00:00+0100"]),
        ("0 0 * * 7", ["2026-11-29 00:00:00+0100", "2026-12-06 00:00:00+0100"]),
        ("0 0 * * sun", ["2026-11-29 00:00:00+0100", "2026-12-06 00:00:00+0100"]),
        ("0 0 1 jan *", ["2027-01-01 00:00:00+0100", "2028-01-01 00:00:00+0100"]),
        ("0 0 13 * 5", ["2026-11-27 00:00:00+0100", "2026-12-04 00:00:00+0100"]),  # the 13th, and each Friday
        ("0 12 29 2 *", ["2028-02-29 12:00:00+0100", "2032-02-29 12:00:00+0100"]),
        ("0 12 L * *", ["2026-11-30 12:00:00+0100", "2026-12-31 12:00:00+0100"]),
        ("0 12 * * 5L", ["2026-11-27 12:00:00+0100", "2026-12-25 12:00:00+0100"]),
        ("0 12 * * 1#2", ["2026-12-14 12:00:00+0100", "2027-01-11 12:00:00+0100"]),
        ("0 12 31 * *", ["2026-12-31 12:00:00+0100", "2027-01-31 12:00:00+0100"]),
        ("*/20 * * * * *", ["2026-11-24 12:00:20+0100", "2026-11-24 12:00:40+0100"]),
    ],
)
def test_the_next_run_is_what_cron_would_do(cron, expected):
    """Weekdays, lengths of months and leap days count as in cron; a sixth field in front is the second."""
    assert runs(cron, rome("2026-11-24 12:00:00"), 2) == expected


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # 2027-03-28: 02:00 becomes 03:00
        ("30 2 * * *", "2027-03-27 12:00", ["2027-03-28 03:00:00+0200", "2027-03-29 02:30:00+0200"]),
        ("0,30 2 * * *", "2027-03-27 12:00", ["2027-03-28 03:00:00+0200", "2027-03-29 02:00:00+0200"]),
        ("0 3 * * *", "2027-03-27 12:00", ["2027-03-28 03:00:00+0200", "2027-03-29 03:00:00+0200"]),
        ("*/30 * * * *", "2027-03-28 01:10", ["2027-03-28 01:30:00+0100", "2027-03-28 03:00:00+0200"]),
        # 2027-10-31: 03:00 becomes 02:00
        ("30 2 * * *", "2027-10-30 12:00", ["2027-10-31 02:30:00+0200", "2027-11-01 02:30:00+0100"]),
        ("0 2 * * *", "2027-10-30 12:00", ["2027-10-31 02:00:00+0200", "2027-11-01 02:00:00+0100"]),
        ("0 * * * *", "2027-10-31 01:30", ["2027-10-31 02:00:00+0200", "2027-10-31 02:00:00+0100"]),
        ("*/30 * * * *", "2027-10-31 02:10", ["2027-10-31 02:30:00+0200", "2027-10-31 02:00:00+0100"]),
        # with seconds, what is missing is left out, and what comes twice runs twice
        ("0 30 2 * * *", "2027-03-27 12:00", ["2027-03-29 02:30:00+0200", "2027-03-30 02:30:00+0200"]),
        ("0 30 2 * * *", "2027-10-30 12:00", ["2027-10-31 02:30:00+0200", "2027-10-31 02:30:00+0100"]),
    ],
)
def test_clocks_are_put_forward_and_back(cron, after, expected):
    """A daily run is neither lost in spring nor done twice in autumn; what runs each hour goes on each hour."""
    assert runs(cron, rome(after), 2) == expected


def test_the_second_of_two_equal_times_is_not_taken_for_the_first():
    """In the second 02:10 of an autumn night, the 02:30 of the first hour has been."""
    after = rome("2027-10-31 02:10").replace(fold=1)
    assert runs("30 2 * * *", after, 1) == ["2027-11-01 02:30:00+0100"]


def test_utc_has_no_seasons():
    """What is said without a time zone means UTC."""
    assert Schedule("30 2 * * *").timezone == "UTC"
    assert runs("30 2 * * *", datetime(2027, 3, 27, 12, tzinfo=UTC), 2, "UTC") == [
        "2027-03-28 02:30:00+0000",
        "2027-03-29 02:30:00+0000",
    ]


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 */3 * * *", "15 3 * * 6", "*/20 * * * * *"]),
    st.sampled_from(["UTC", "Europe/Rome", "America/New_York", "Australia/Lord_Howe"]),
)
def test_time_never_stands_still(after, cron, timezone):
    """The next run is later than the moment that is asked for, and the one after it later still."""
    schedule = Schedule(cron, timezone)
    first = schedule.next_run(after)
    second = schedule.next_run(first)
    assert after < first < second
    assert second - after < timedelta(days=15)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "five fields, this one 0"),
        ("daily", "five fields, this one 1"),
        ("@reboot", "because a server starts"),
        ("@fortnightly", "there is no word '@fortnightly'; the words are @hourly, @daily"),
        ("0 0 * *", "five fields, this one 4"),
        ("61 * * * *", "the minute"),
        ("* 24 * * *", "the hour"),
        ("* * 0 * *", "the day of month"),
        ("* * * 13 *", "the month"),
        ("* * * * 8", "the weekday"),
        ("*/0 * * * *", "the minute"),
        ("a b c d e", "the minute"),
        ("0 0 30 2 *", "the day of month"),
        ("0 0 */30 2 1#5", "no day"),
    ],
)
def test_wrong_expressions_are_told(cron, words):
    """The sentence names the field, and how it is written."""
    with pytest.raises(ValueError, match=words):
        check_cron(cron)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Roma", "did you mean 'Europe/Rome'"),
        ("Europe", "no time zone"),
        ("/etc/passwd", "no time zone"),
        ("../../etc/passwd", "no time zone"),
        ("", "no time zone"),
        ("\0", "no time zone"),
    ],
)
def test_unknown_time_zones_are_told(name, words):
    """With the nearest one that exists."""
    with pytest.raises(ValueError, match=words):
        check_timezone(name)


def test_what_an_add_says_wins():
    """Over config.yaml; `off` switches that one off; nothing leaves it as it is."""
    theirs, ours, off = Schedule("0 1 * * *"), Schedule("0 2 * * *"), Schedule(OFF)
    assert effective(ours, theirs) == ours
    assert effective(None, theirs) == theirs
    assert effective(off, theirs) is None
    assert effective(None, off) is None
    assert effective(None, None) is None
    assert off.next_run(datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('schedule: "*/5 * * * *"', Schedule("*/5 * * * *")),
        (
            'schedule: {cron: "0 6 * * *", timezone: Europe/Rome, parameters: {a: 1}}',
            Schedule("0 6 * * *", "Europe/Rome", {"a": 1}),
        ),
        ("schedule: off", Schedule(OFF)),
        ("schedule: {cron: off}", Schedule(OFF)),
        ("schedule:", None),
        ("type: job", None),
    ],
)
def test_config_yaml_has_it_short_or_long(text, expected):
    """A cron expression alone, or a mapping with a time zone and parameters."""
    assert schedule_of(parse_manifest(text).schedule) == expected


def add(schedule):
    return PluginRequest.model_validate({"name": "p", "local_path": "/d", "schedule": schedule})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0 6 * * *", Schedule("0 6 * * *")),
        ({"cron": "0 6 * * *", "timezone": "Europe/Rome"}, Schedule("0 6 * * *", "Europe/Rome")),
        ("off", Schedule(OFF)),
        (False, Schedule(OFF)),
        (None, None),
        ("", None),
    ],
)
def test_an_add_and_a_change_may_say_it(given, expected):
    """In the same words; what says nothing leaves it to config.yaml, and a change needs no new process."""
    assert add(given).spec(None).schedule == expected
    change = PluginChange.model_validate({"schedule": given})
    before = add("1 1 1 1 1").spec(None)
    assert change.of(before) == replace(before, schedule=expected)
    assert change.needs_replacement is False
    assert PluginChange(autostart_order=1).of(before).schedule == before.schedule


def test_a_plugins_file_that_changes_a_schedule_replaces_nothing():
    """The plugin is changed, and its generation stays."""
    before = replace(add("0 6 * * *").spec(None), generation=4)
    entry = PluginEntry(before, owner="file", applied=applied_form(add("0 6 * * *")))
    assert [step.action for step in plan("file", [add("0 6 * * *")], {"p": entry})] == [Action.KEEP]
    assert [step.action for step in plan("file", [add("off")], {"p": entry})] == [Action.CHANGE]
    assert changed_spec(entry, add("off"), 5) == replace(before, schedule=Schedule(OFF))


def test_a_task_must_not_have_one():
    """Also where only the class says that it is a task."""
    manifest = parse_manifest('schedule: "0 6 * * *"')
    assert identify("p", "X:P", JobBase, manifest, {}, None).name == "p"
    with pytest.raises(PluginRejected, match="only a job"):
        identify("p", "X:P", TaskBase, manifest, {}, None)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('type: job\nschedule: "0 25 * * *"', "schedule.cron: the hour of this cron expression is wrong", 2),
        ("schedule:\n  cron: 5 4 * *", "schedule.cron: a cron expression has five fields", 2),
        ('schedule:\n  cron: "5 4 * * *"\n  timezone: Europe/Roma', "schedule.timezone: there is no time zone", 3),
        (
            'schedule:\n  cron: "5 4 * * *"\n  timezon: UTC',
            "schedule.timezon: unknown key; did you mean 'timezone'?",
            3,
        ),
        ('schedule:\n  cron: "5 4 * * *"\n  parameters: 3', "schedule.parameters: must hold a mapping", 3),
        ("schedule:\n  timezone: UTC", "schedule.cron is missing", 1),
        ("schedule: 5", "schedule: must be a cron expression in quotes", 1),
        ('type: task\nschedule: "5 4 * * *"', "schedule: only a job runs by a schedule", 2),
    ],
)
def test_mistakes_in_config_yaml_are_told_with_their_line(text, message, line):
    """Where it stands, and what to do."""
    with pytest.raises(PluginRejected) as error:
        parse_manifest(text)
    failure = error.value.failures[0]
    assert (failure.message[: len(message)], failure.line) == (message, line)


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("@hourly", "2026-03-11 13:00:00+0100"),
        ("@daily", "2026-03-12 00:00:00+0100"),
        ("@midnight", "2026-03-12 00:00:00+0100"),
        ("@weekly", "2026-03-15 00:00:00+0100"),
        ("@monthly", "2026-04-01 00:00:00+0200"),
        ("@yearly", "2027-01-01 00:00:00+0100"),
        ("@annually", "2027-01-01 00:00:00+0100"),
    ],
)
def test_words_of_cron(word, first):
    """A word of cron's stands for the time that cron gives it: the week begins in the night to Sunday."""
    assert check_cron(word) == word
    assert runs(word, rome("2026-03-11 12:30:00"), number=1) == [first]
