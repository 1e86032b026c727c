"""Parameters from the process's side: what a plugin has, what its runs have, and when they are checked."""

import threading

import pytest
from base_fakes import FakeClock
from pydantic import BaseModel, field_validator
from test_host import LIMIT, Server

from iocmng import JobBase, TaskBase
from iocmng.base.host import PluginHost
from iocmng.base.identity import identify
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.runs import RunOrder
from iocmng.errors import InvalidRequest

DECLARED = """\
parameters_schema:
  exposure: {type: float, min: 0.1, default: 1}
  frames: {type: int, required: true}
  options: {type: object, default: {a: 1}}
"""


class Scan(JobBase):
    """Returns its parameters; waits for `gate` before."""

    gate: threading.Event | None = None

    def initialize(self):
        self.begun = True

    def execute(self):
        if self.gate is not None:
            self.gate.wait(LIMIT)
        return dict(self.parameters)


class TypedScan(Scan):
    """The same, with a model; `slow` holds its validator up."""

    slow: threading.Event | None = None
    threads: list[str] = []

    class Parameters(BaseModel):
        """Its parameters."""

        exposure: float = 1
        frames: int

        @field_validator("exposure")
        @classmethod
        def _look(cls, value):
            TypedScan.threads.append(threading.current_thread().name)
            return value

    def execute(self):
        assert self.typed_parameters.frames == self.parameters["frames"]
        return super().execute()


def host_of(cls, config="", **overrides):
    host = PluginHost(Server(), FakeClock())
    identifying = host.thread.submit(identify, "scan", "X:SCAN", cls, parse_manifest(config), overrides, None)
    host.build(cls, identifying.result(LIMIT), "info").result(LIMIT)
    return host


def begin(host, **parameters):
    return host.run_job(RunOrder(1, parameters))


def run(host, **parameters):
    """Return the data of a run."""
    return ended(begin(host, **parameters))["data"]


def ended(going):
    return going.result(LIMIT).result


@pytest.mark.parametrize(("cls", "config"), [(Scan, DECLARED), (TypedScan, "")])
def test_a_run_has_converted_parameters_and_defaults(cls, config):
    """self.parameters of a run: the call's over the add's over config.yaml's over the defaults."""
    host = host_of(cls, config, exposure=3)
    data = run(host, frames=2)
    assert (data["exposure"], data["frames"]) == (3.0, 2)
    assert isinstance(data["exposure"], float)
    assert run(host, frames=3, exposure=5)["exposure"] == 5.0
    assert run(host, frames=4)["exposure"] == 3.0


@pytest.mark.parametrize(("cls", "config"), [(Scan, DECLARED), (TypedScan, "")])
def test_a_run_by_the_pv_says_what_is_missing(cls, config):
    """RUN gives no parameters: without a required one the run fails before any of the author's code."""
    host = host_of(cls, config)
    host._client_wrote("RUN", True)
    host.thread.submit(lambda: None).result(LIMIT)
    report = host.report()
    assert (report.state, report.message) == ("FAILED", "parameters.frames is missing; it must be given")
    assert not hasattr(host._plugin, "begun")


def test_typed_parameters_are_those_of_the_run():
    """During a run the instance is the run's, afterwards the job's own again."""
    host = host_of(TypedScan, frames=1)
    job = host._plugin
    assert job.typed_parameters.frames == 1
    assert run(host, frames=7)["frames"] == 7
    assert (job.typed_parameters.frames, job.parameters["frames"]) == (1, 1)


def test_a_model_is_asked_while_a_run_goes_on():
    """The check of the next run does not wait for the author's thread, and runs in one of its own."""
    host = host_of(TypedScan, frames=1)
    host._plugin.gate = threading.Event()
    going = begin(host)
    TypedScan.threads.clear()
    assert host.check_parameters({"exposure": 2}).result(LIMIT) is None
    with pytest.raises(InvalidRequest, match=r"parameters\.exposure: must be a valid number, not 'long'"):
        host.check_parameters({"exposure": "long"}).result(LIMIT)
    assert TypedScan.threads[-1] == "iocmng-parameters"
    assert not going.done()
    host._plugin.gate.set()
    assert ended(going)["success"]


class Watch(TaskBase):
    """A task that notes what __init__ is given."""

    class Parameters(BaseModel):
        """Its parameters."""

        limit: float = 5

    def __init__(self, parameters):
        self.at_first = (parameters["limit"], self.typed_parameters.limit, self.parameters["interval"])

    def initialize(self): ...

    def execute(self): ...

    def cleanup(self): ...


def test_a_task_has_them_from_the_beginning():
    """Values, defaults and the instance are there in __init__, beside the parameters of iocmng."""
    assert host_of(Watch, "parameters: {interval: 2}")._plugin.at_first == (5.0, 5.0, 2.0)


def test_nothing_declared_nothing_checked():
    """A plugin without a declaration gets whatever is given, as it is."""
    host = host_of(Scan, "parameters: {frames: two}")
    assert host._plugin.typed_parameters is None
    assert host.check_parameters({"anything": None}).result(LIMIT) is None
    assert run(host, anything=None).items() >= {"frames": "two", "anything": None}.items()
