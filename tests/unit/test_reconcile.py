"""From desired and observed to actions."""

from dataclasses import replace

import pytest
from properties import given, st

from iocmng.core.lifecycle import IOC_IS_UP, LOADING, Phase
from iocmng.core.reconcile import Launch, Replace, SetRunning, Stop, reconcile, start_order
from iocmng.core.source import LocalSource
from iocmng.core.spec import PluginSpec, PluginStatus


def spec(name="a", **fields):
    return PluginSpec(name, LocalSource("/srv"), **fields)


def status(phase=Phase.ACTIVE, generation=1, running=True):
    return PluginStatus(phase, generation=generation, running=running)


A = spec()
A_STOPPED = spec(running=False)
A_AGAIN = spec(generation=2)


@pytest.mark.parametrize(
    ("desired", "observed", "actions"),
    [
        # nothing, new, gone
        ({}, {}, []),
        ({"a": A}, {}, [Launch(A)]),
        ({"a": A_STOPPED}, {}, [Launch(A_STOPPED)]),
        ({}, {"a": status()}, [Stop("a")]),
        ({}, {"a": status(Phase.REJECTED)}, [Stop("a")]),
        ({}, {"a": status(Phase.CRASHED)}, [Stop("a")]),
        # as it should be
        ({"a": A}, {"a": status()}, []),
        ({"a": A_STOPPED}, {"a": status(running=False)}, []),
        # running or not
        ({"a": A_STOPPED}, {"a": status()}, [SetRunning("a", False)]),
        ({"a": A}, {"a": status(running=False)}, [SetRunning("a", True)]),
        # a new generation, also together with another wish
        ({"a": A_AGAIN}, {"a": status()}, [Replace(A_AGAIN)]),
        ({"a": A_AGAIN}, {"a": status(running=False)}, [Replace(A_AGAIN)]),
        ({"a": A_AGAIN}, {"a": status(Phase.CRASHED)}, [Replace(A_AGAIN)]),
        ({"a": A_AGAIN}, {"a": status(Phase.REPLACING)}, [Replace(A_AGAIN)]),
        ({"a": A_AGAIN}, {"a": status(generation=2)}, []),
        # under way: wait
        ({"a": A}, {"a": status(Phase.FETCHING)}, []),
        ({"a": A_AGAIN}, {"a": status(Phase.PREPARING)}, []),
        ({"a": A}, {"a": status(Phase.STARTING, running=False)}, []),
        ({"a": A}, {"a": status(Phase.STOPPING)}, []),
        ({"a": A}, {"a": status(Phase.REPLACING, running=False)}, []),
        # failed: stays until something new is asked for
        ({"a": A}, {"a": status(Phase.REJECTED)}, []),
        ({"a": A_STOPPED}, {"a": status(Phase.REJECTED)}, []),
        ({"a": A_AGAIN}, {"a": status(Phase.REJECTED)}, [Launch(A_AGAIN)]),
        ({"a": A}, {"a": status(Phase.CRASHED)}, []),
        ({"a": A_STOPPED}, {"a": status(Phase.CRASHED)}, []),
    ],
)
def test_one_plugin(desired, observed, actions):
    """What is to be done for one plugin, and that nothing is while it is busy."""
    assert reconcile(desired, observed) == actions
    assert reconcile(desired, observed, busy=["a"]) == []
    assert reconcile(desired, observed, busy=["b"]) == actions


def test_stops_come_first_then_starts_in_their_order():
    """autostart_order lower first, unset last, then by name; what is no longer wanted goes first."""
    desired = {
        item.name: item
        for item in (
            spec("zeta"),
            spec("alpha"),
            spec("late", autostart_order=10),
            spec("early", autostart_order=-5),
            spec("soon", autostart_order=0),
            spec("also-soon", autostart_order=0),
        )
    }
    actions = reconcile(desired, {"old": status(), "elder": status()})
    assert actions[:2] == [Stop("elder"), Stop("old")]
    assert [action.spec.name for action in actions[2:]] == ["early", "also-soon", "soon", "late", "alpha", "zeta"]


def test_start_order_puts_the_unset_behind_the_largest():
    """None is later than any number."""
    assert start_order(spec(autostart_order=2**31 - 1)) < start_order(spec(autostart_order=None))


NAMES = st.sampled_from(["a", "b", "c", "d"])
SPECS = st.builds(
    spec,
    running=st.booleans(),
    generation=st.integers(1, 3),
    autostart_order=st.none() | st.integers(-2, 2),
)
STATUSES = st.builds(status, st.sampled_from(Phase), generation=st.integers(0, 3), running=st.booleans())
DESIRED = st.dictionaries(NAMES, SPECS).map(
    lambda table: {name: replace(item, name=name) for name, item in table.items()}
)
OBSERVED = st.dictionaries(NAMES, STATUSES)
BUSY = st.sets(NAMES)


def target(action):
    return action.spec.name if isinstance(action, Launch | Replace) else action.name


@given(DESIRED, OBSERVED, BUSY)
def test_never_two_actions_for_one_plugin_and_none_for_a_busy_one(desired, observed, busy):
    """Whatever is desired and observed."""
    names = [target(action) for action in reconcile(desired, observed, busy)]
    assert len(names) == len(set(names))
    assert not set(names) & busy
    assert set(names) <= set(desired) | set(observed)


@given(DESIRED, OBSERVED, BUSY)
def test_actions_fit_what_is_there(desired, observed, busy):
    """Launch only without a process, the others only with one; only what is not desired is stopped."""
    for action in reconcile(desired, observed, busy):
        name = target(action)
        seen = observed.get(name)
        match action:
            case Launch(wanted):
                assert wanted is desired[name]
                assert seen is None or (seen.phase is Phase.REJECTED and seen.generation != wanted.generation)
            case Replace(wanted):
                assert wanted is desired[name]
                assert seen.phase in IOC_IS_UP | {Phase.CRASHED}
                assert seen.generation != wanted.generation
            case SetRunning(_, running):
                assert seen.phase is Phase.ACTIVE
                assert running is desired[name].running is not seen.running
            case Stop():
                assert name not in desired
                assert seen is not None


@given(DESIRED, OBSERVED, BUSY)
def test_nothing_is_forgotten(desired, observed, busy):
    """A plugin that is not as desired, not busy and not under way gets its action."""
    names = {target(action) for action in reconcile(desired, observed, busy)}
    assert {name for name in observed if name not in desired and name not in busy} <= names
    for name, wanted in desired.items():
        seen = observed.get(name)
        waits = seen is not None and seen.phase in LOADING | {Phase.STOPPING}
        as_it_is = (
            seen is not None
            and seen.generation == wanted.generation
            and (seen.phase is not Phase.ACTIVE or seen.running == wanted.running)
        )
        if name not in busy and not waits and not as_it_is:
            assert name in names


def apply(action, desired, observed):
    """Bring about what an action is for, as if everything went well."""
    match action:
        case Launch(wanted) | Replace(wanted):
            observed[wanted.name] = status(Phase.ACTIVE, wanted.generation, wanted.running)
        case SetRunning(name, running):
            observed[name] = replace(observed[name], running=running)
        case Stop(name):
            del observed[name]


@given(DESIRED, OBSERVED)
def test_after_the_actions_there_is_nothing_left_to_do(desired, observed):
    """Once everything that was asked for has happened, the same question has no further answer."""
    observed = dict(observed)
    for action in reconcile(desired, observed):
        apply(action, desired, observed)
    assert reconcile(desired, observed) == []
    assert set(observed) == set(desired)


@given(DESIRED)
def test_a_state_that_matches_needs_nothing(desired):
    """No action where every plugin is as desired."""
    observed = {name: status(Phase.ACTIVE, item.generation, item.running) for name, item in desired.items()}
    assert reconcile(desired, observed) == []


@given(DESIRED, OBSERVED, BUSY)
def test_the_answer_depends_on_nothing_but_the_question(desired, observed, busy):
    """Neither the order of the tables nor an earlier call changes it, and nothing is changed by asking."""
    before = (dict(desired), dict(observed), set(busy))
    first = reconcile(desired, observed, busy)
    turned = reconcile(dict(reversed(desired.items())), dict(reversed(observed.items())), sorted(busy))
    assert turned == first == reconcile(desired, observed, busy)
    assert (desired, observed, busy) == before
