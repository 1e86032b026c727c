"""Phases, what may follow what, and the words that REST shows for them."""

import re
from itertools import product

import pytest

from iocmng.core import lifecycle
from iocmng.core.lifecycle import IOC_IS_UP, LOADING, TRANSITIONS, Phase, check_transition, status_word
from iocmng.errors import WrongState

# Section 4 of the contract.
WORDS = {"loading", "loaded", "running", "paused", "stopped", "error", "invalid", "crashed", "restarting"}
REPORTED = [None, "loaded", "running", "paused", "stopped", "error"]


def test_the_table_has_a_row_for_every_phase_and_names_only_phases():
    """No phase is without its row; none may follow itself in the table."""
    assert set(TRANSITIONS) == set(Phase)
    for before, after in TRANSITIONS.items():
        assert after <= set(Phase)
        assert before not in after


def test_every_phase_is_reached_from_the_first():
    """There is a way from FETCHING to each phase."""
    reached, pending = set(), [Phase.FETCHING]
    while pending:
        phase = pending.pop()
        if phase not in reached:
            reached.add(phase)
            pending += TRANSITIONS[phase]
    assert reached == set(Phase)


def test_every_plugin_can_be_stopped_and_stopping_is_the_end():
    """A remove is possible in each phase; after it nothing follows."""
    assert TRANSITIONS[Phase.STOPPING] == frozenset()
    assert all(Phase.STOPPING in TRANSITIONS[phase] for phase in set(Phase) - {Phase.STOPPING})


@pytest.mark.parametrize(("before", "after"), list(product(Phase, Phase)))
def test_only_the_table_says_what_may_follow(before, after):
    """A step that the table does not have is refused by name; staying is always possible."""
    if after is before or after in TRANSITIONS[before]:
        assert check_transition(before, after) is after
    else:
        with pytest.raises(WrongState, match=f"{before.value}.*{after.value}"):
            check_transition(before, after)


def test_a_running_ioc_is_never_loaded_in_place():
    """From ACTIVE there is no way back to loading except through REPLACING, which keeps the IOC up."""
    assert not TRANSITIONS[Phase.ACTIVE] & LOADING
    assert TRANSITIONS[Phase.REPLACING] == {Phase.ACTIVE, Phase.STOPPING, Phase.CRASHED}
    assert frozenset({Phase.ACTIVE, Phase.REPLACING}) == IOC_IS_UP


def test_only_a_plugin_that_is_not_up_yet_is_rejected():
    """A failed new version never rejects the one that runs; one that was up once may fail to come back."""
    assert {phase for phase in Phase if Phase.REJECTED in TRANSITIONS[phase]} == LOADING
    assert {phase for phase in Phase if Phase.CRASHED in TRANSITIONS[phase]} == IOC_IS_UP | LOADING


@pytest.mark.parametrize(("phase", "reported", "failed"), list(product(Phase, REPORTED, [False, True])))
def test_status_has_only_words_of_the_contract(phase, reported, failed):
    """Whatever the phase and the report, dashboards know the word."""
    assert status_word(phase, reported, source_failed=failed) in WORDS


@pytest.mark.parametrize(
    ("phase", "reported", "failed", "word"),
    [
        (Phase.FETCHING, None, False, "loading"),
        (Phase.PREPARING, None, False, "loading"),
        (Phase.STARTING, "loaded", False, "loading"),
        (Phase.ACTIVE, None, False, "loading"),
        (Phase.ACTIVE, "loaded", False, "loaded"),
        (Phase.ACTIVE, "running", False, "running"),
        (Phase.ACTIVE, "paused", False, "paused"),
        (Phase.ACTIVE, "stopped", False, "stopped"),
        (Phase.ACTIVE, "error", False, "error"),
        (Phase.REPLACING, "running", False, "restarting"),
        (Phase.STOPPING, "running", False, "stopped"),
        (Phase.REJECTED, None, False, "invalid"),
        (Phase.REJECTED, None, True, "error"),
        (Phase.CRASHED, "running", False, "crashed"),
    ],
)
def test_the_word_for_each_phase(phase, reported, failed, word):
    """An active plugin speaks for itself; a rejected one is invalid, or in error where its source failed."""
    assert status_word(phase, reported, source_failed=failed) == word


def test_every_word_of_the_contract_is_used():
    """There is no word in the contract that no plugin can ever show."""
    shown = {status_word(*case, source_failed=failed) for *case, failed in product(Phase, REPORTED, [False, True])}
    assert shown == WORDS


def test_the_drawing_names_every_phase():
    """The docstring that draws the way of a plugin leaves no phase out."""
    assert {phase.name for phase in Phase} <= set(re.findall(r"[A-Z]{4,}", lifecycle.__doc__))
