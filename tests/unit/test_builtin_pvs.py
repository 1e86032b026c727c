"""The PVs that every task and every job has, as section 3 of the contract lists them."""

import pytest

from iocmng.core.builtin_pvs import Kind, Mode, builtin_pvs, reserved_names
from iocmng.core.names import is_pv_segment
from iocmng.core.pv_fields import Direction, Severity

TASK = {"ENABLE", "STATUS", "MESSAGE", "VERSION", "CLEAR", "RESET", "HEARTBEAT", "UPTIME"}
WRITABLE = {"ENABLE", "RUN", "CLEAR", "RESET"}


def table(kind, mode=Mode.CONTINUOUS):
    return {pv.name: pv for pv in builtin_pvs(kind, mode)}


@pytest.mark.parametrize(
    ("kind", "mode", "names"),
    [
        (Kind.TASK, Mode.CONTINUOUS, TASK | {"CYCLE_COUNT"}),
        (Kind.TASK, Mode.REACTIVE, TASK | {"CYCLE_COUNT"}),
        (Kind.TASK, Mode.TRIGGERED, TASK | {"RUN"}),
        *((Kind.JOB, mode, {"STATUS", "MESSAGE", "VERSION", "PROGRESS", "RUN"}) for mode in Mode),
    ],
)
def test_each_kind_and_mode_has_its_pvs(kind, mode, names):
    """RUN only where it can be written to, CYCLE_COUNT only where there are cycles."""
    assert set(table(kind, mode)) == names


@pytest.mark.parametrize(
    ("kind", "states", "alarm"),
    [
        (Kind.TASK, ("INIT", "RUN", "PAUSED", "END", "ERROR"), "ERROR"),
        (Kind.JOB, ("IDLE", "RUNNING", "SUCCESS", "FAILED"), "FAILED"),
    ],
)
def test_status_has_its_states_in_the_order_of_the_contract(kind, states, alarm):
    """Clients know the numbers; only the last state is an alarm, and it is MAJOR."""
    pv = table(kind)["STATUS"].pv
    assert pv.states == states
    assert pv.state_severities == {alarm: Severity.MAJOR}
    assert pv.coerce(pv.value) == 0


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("mode", Mode)
def test_only_switches_and_buttons_are_written_by_clients(kind, mode):
    """ENABLE, RUN, CLEAR and RESET are inputs; everything else is read-only."""
    for name, declared in table(kind, mode).items():
        assert declared.direction is (Direction.INPUT if name in WRITABLE else Direction.OUTPUT), name
        assert declared.built_in
        assert is_pv_segment(name)


def test_a_task_is_enabled_and_asked_for_nothing_at_first():
    """ENABLE starts at 1, the buttons at 0; of these only a pause outlives a restart."""
    pvs = table(Kind.TASK) | table(Kind.TASK, Mode.TRIGGERED)
    assert {name: pvs[name].pv.value for name in WRITABLE} == {
        "ENABLE": True,
        "RUN": False,
        "CLEAR": False,
        "RESET": False,
    }
    assert {name for name in WRITABLE if pvs[name].pv.autosave} == {"ENABLE"}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("mode", Mode)
def test_reserved_names_do_not_depend_on_the_mode(kind, mode):
    """A change of mode must not make a declared PV collide."""
    assert set(table(kind, mode)) <= reserved_names(kind)
    assert reserved_names(kind) == set().union(*(table(kind, any_mode) for any_mode in Mode))


def test_progress_is_percent():
    """PROGRESS runs from 0 to 100 %."""
    pv = table(Kind.JOB)["PROGRESS"].pv
    assert (pv.unit, pv.low, pv.high, pv.value) == ("%", 0, 100, 0)


@pytest.mark.parametrize(("name", "unit"), [("HEARTBEAT", "s"), ("UPTIME", "s"), ("CYCLE_COUNT", "")])
def test_counters_are_whole_numbers(name, unit):
    """Longin records with their unit."""
    pv = table(Kind.TASK)[name].pv
    assert (pv.type, pv.unit) == ("int", unit)
