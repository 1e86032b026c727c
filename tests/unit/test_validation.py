"""The outcome of a plugin's checks, and how it comes back from the process that makes them."""

import json

from iocmng.core.builtin_pvs import Kind
from iocmng.core.spec import PluginFacts
from iocmng.core.validation import STEPS, StepState, ValidationReport, shown_validation, steps_before
from iocmng.errors import CheckFailure
from iocmng.loading.check_process import CheckedPlugin

FACTS = PluginFacts(
    kind=Kind.TASK,
    class_name="Pump",
    mode="continuous",
    pv_prefix="LAB:PUMP",
    plugin_prefix="PUMP",
    parameters={"interval": 1.0, "deep": {"list": [1, "two", None]}},
    pv_definitions={"inputs": {}, "outputs": {"A": {"type": "float"}}},
    commit=None,
    branch=None,
    warnings=("RESET is built in now",),
)
FAILURE = CheckFailure("config", "`type` says job", "config.yaml", 3)


def test_warnings_of_the_server_are_told():
    """A plugin that passes may still be warned of."""
    report = ValidationReport(frozenset(STEPS), facts=FACTS)
    assert report.ok
    assert report.to_dict() == {"ok": True, "errors": [], "warnings": ["RESET is built in now"]}


def test_a_check_that_failed_late_did_not_undo_the_others():
    """`type` is compared with the class once that is found: what came before stays ok, what comes after was not run."""
    report = ValidationReport(steps_before("abstract methods"), (FAILURE,))
    states = list(report.steps().values())
    assert states == [*["ok"] * 2, "failed", *["ok"] * 3, "not run"]
    assert report.to_dict()["errors"] == [
        {"step": "config", "message": "`type` says job", "file": "config.yaml", "line": 3}
    ]


def test_steps_before_a_step():
    """In the order of the checks; what comes after the seven comes after all of them."""
    assert steps_before("clone") == frozenset()
    assert steps_before("syntax") == {"clone", "dependencies", "config"}
    assert steps_before("initialize") == frozenset(STEPS)
    assert [state.value for state in StepState] == ["ok", "failed", "not run"]


def test_what_was_found_crosses_the_border_of_a_process():
    """As JSON, and unchanged."""
    for checked in (
        CheckedPlugin(frozenset(STEPS), facts=FACTS),
        CheckedPlugin(steps_before("import"), (FAILURE, CheckFailure("import", "…"))),
    ):
        text = checked.to_json()
        json.loads(text)
        assert CheckedPlugin.from_json(text) == checked


def test_dashboards_of_2x_show_the_errors_of_a_plugin_as_they_are():
    """In a plugin object they are texts that name step, file and line; the parts stand beside them."""
    failure = CheckFailure("config", "a: unknown key", "config.yaml", 3)
    assert shown_validation((failure,), ("w",)) == {
        "ok": False,
        "errors": ["config: a: unknown key (config.yaml, line 3)"],
        "warnings": ["w"],
        "failures": [failure.to_dict()],
    }
