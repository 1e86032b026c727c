"""What plugin authors import and may rely on: section 1 of the contract."""

import datetime
import json
import re
import subprocess
import sys

import pytest
from base_fakes import bound

import iocmng
from iocmng import DeclarativeTask, JobBase, JobResult, TaskBase
from iocmng.base.plugin import PluginBase
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import AuthorError, PvValueError, UnknownPv

HEAVY = ("ray", "softioc", "cothread", "p4p", "fastapi", "starlette", "epicscorelibs", "uvicorn", "git", "numpy")
REPORT = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"


@pytest.mark.parametrize(
    "imports",
    [
        ["from iocmng import TaskBase, JobBase, JobResult, DeclarativeTask, pv_client, __version__"],
        [
            "from iocmng.core.functions import register",
            "from iocmng.core import pv_client",
            "from iocmng.base.job import JobBase, JobResult",
            "from iocmng.base.task import TaskBase",
            "from iocmng import *",
        ],
    ],
    ids=["package", "modules"],
)
def test_the_imports_of_the_contract_work_and_load_nothing_heavy(imports):
    """With python -c alone: no Ray, no EPICS, no web framework."""
    code = "\n".join([*imports, REPORT])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == []


def test_exactly_the_documented_names_are_exported():
    """A name that is exported is a promise; one that is missing breaks somebody's plugin."""
    assert set(iocmng.__all__) == {
        *("TaskBase", "JobBase", "JobResult", "DeclarativeTask", "pv_client", "__version__"),
        *("TemporaryError", "PermanentError", "Cancelled", "ItemFailed"),
    }
    assert all(hasattr(iocmng, name) for name in iocmng.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", iocmng.__version__)


@pytest.mark.parametrize(
    ("cls", "methods"),
    [
        (TaskBase, {"initialize", "execute", "cleanup"}),
        (JobBase, {"initialize", "execute"}),
        (DeclarativeTask, set()),
    ],
)
def test_authors_must_implement_exactly_what_the_contract_says(cls, methods):
    """Neither more nor less."""
    assert cls.__abstractmethods__ == methods


@pytest.mark.parametrize(
    ("cls", "methods"),
    [
        (TaskBase, ["triggered", "on_input_changed", "on_write", "step_cycle", "cleanup"]),
        (JobBase, ["cleanup", "report_progress", "map"]),
        *(
            (cls, ["set_pv", "get_pv", "set_output", "get_output", "set_input", "get_input"])
            for cls in (TaskBase, JobBase)
        ),
        *(
            (cls, ["set_status", "set_message", "link_put", "get_device", "list_devices", "create_device"])
            for cls in (TaskBase, JobBase)
        ),
        *((cls, ["get_datetime", "get_timems"]) for cls in (TaskBase, JobBase)),
    ],
)
def test_the_methods_of_the_contract_are_there(cls, methods):
    """Under their documented names."""
    assert [name for name in methods if not callable(getattr(cls, name, None))] == []


class Task(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pass

    def cleanup(self):
        pass


class Job(JobBase):
    def initialize(self):
        pass

    def execute(self):
        pass


MANIFEST = parse_manifest(
    "pvs:\n  inputs: {SETPOINT: {type: float}}\n  outputs: {READING: {type: float}, READY: {type: bool}}\n"
)


def test_a_task_has_the_attributes_of_the_contract():
    """All of them before `__init__` runs, so an author's `__init__` may use them."""
    seen = {}

    class Early(Task):
        def __init__(self):
            seen.update(vars(self))

    task, *_ = bound(Early, "triggered", manifest=MANIFEST, threshold=3)
    for name in ("name", "parameters", "logger", "pvs", "pv_prefix", "mode", "running", "enabled", "cycle_count"):
        assert seen[name] == getattr(task, name)
    assert (task.name, task.pv_prefix, task.mode) == ("under-test", "X:UNDER-TEST", "triggered")
    assert task.parameters == {"mode": "triggered", "interval": 1.0, "threshold": 3}
    assert (task.running, task.enabled, task.cycle_count, task.link_values) == (False, True, 0, {})


def test_a_job_has_the_attributes_of_the_contract():
    """The same where they make sense, plus last_result and cancelled."""
    job, *_ = bound(Job, manifest=MANIFEST)
    assert (job.name, job.pv_prefix, job.last_result, job.cancelled) == ("under-test", "X:UNDER-TEST", None, False)
    assert set(job.pvs) == {"SETPOINT", "READING", "READY", "STATUS", "MESSAGE", "VERSION", "PROGRESS", "RUN"}


@pytest.mark.parametrize("cls", [Task, Job])
@pytest.mark.parametrize("put", ["set_pv", "set_output", "set_input"])
@pytest.mark.parametrize("get", ["get_pv", "get_output", "get_input"])
def test_pvs_are_set_and_read_under_every_name(cls, put, get):
    """The aliases of older plugins do the same; a severity goes with the value."""
    plugin, _, pvs, _ = bound(cls, manifest=MANIFEST)
    getattr(plugin, put)("READING", 1.5)
    assert getattr(plugin, get)("READING") == 1.5
    getattr(plugin, put)("READING", 2.5, severity="MAJOR")
    assert (plugin.pvs["READING"].get(), pvs.severities["READING"].value) == (2.5, "MAJOR")
    plugin.pvs["READING"].set(3.5)
    assert (pvs.values["READING"], pvs.severities["READING"]) == (3.5, None)


@pytest.mark.parametrize(
    ("name", "hint"), [("READIN", "did you mean 'READING'?"), ("reading", "declared are "), ("ZZZ", "declared are ")]
)
def test_an_unknown_pv_names_what_there_is(name, hint):
    """The nearest name, or all of them."""
    task, *_ = bound(Task, manifest=MANIFEST)
    for call in (lambda: task.set_pv(name, 1), lambda: task.get_pv(name)):
        with pytest.raises(UnknownPv, match=f"under-test has no PV '{name}'; {re.escape(hint)}"):
            call()


def test_without_links_and_devices_the_answers_are_clear():
    """link_put and create_device say why not; there are no devices."""
    task, *_ = bound(Task, manifest=MANIFEST)
    with pytest.raises(AuthorError, match="SETPOINT has no link"):
        task.link_put("SETPOINT", 1)
    with pytest.raises(AuthorError, match="cannot make device 'motor'"):
        task.create_device("motor")
    assert (task.get_device("motor"), task.list_devices()) == (None, [])


def test_messages_and_states_reach_the_board():
    """Whole in the status, and in the record."""
    task, board, pvs, _ = bound(Task, manifest=MANIFEST)
    task.set_message("x" * 100)
    task.set_status("run")
    assert (board.message, board.state) == ("x" * 100, "RUN")
    assert pvs.values["STATUS"] == "RUN"


def test_times_are_readable_and_in_milliseconds():
    """get_datetime is local time with milliseconds, get_timems the same moment in milliseconds since 1970."""
    before = datetime.datetime.now().timestamp()
    text, number = PluginBase.get_datetime(), PluginBase.get_timems()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", text)
    for moment in (datetime.datetime.fromisoformat(text).timestamp(), number / 1000):
        assert before - 0.002 <= moment <= datetime.datetime.now().timestamp()


def test_a_job_result_has_a_timestamp_and_a_dictionary():
    """JobResult(success, data=None, message="") with ISO 8601 and to_dict()."""
    result = JobResult(True)
    assert (result.success, result.data, result.message) == (True, None, "")
    assert datetime.datetime.fromisoformat(result.timestamp).utcoffset() is not None
    assert JobResult(False, {"a": 1}, "no", "2026-01-31T00:00:00+00:00").to_dict() == {
        "success": False,
        "data": {"a": 1},
        "message": "no",
        "timestamp": "2026-01-31T00:00:00+00:00",
    }


def test_a_triggered_task_without_its_own_method_executes():
    """`triggered()` is execute() unless it is overridden."""

    class Counting(Task):
        def execute(self):
            self.executed = True

    task, *_ = bound(Counting, "triggered")
    task.triggered()
    assert task.executed


def test_values_that_do_not_fit_are_errors_of_the_author():
    """So that one `except` of the framework tells them from the server's own."""
    assert issubclass(PvValueError, AuthorError)
    assert issubclass(UnknownPv, AuthorError)
