"""The harness: a plugin in the test's process, with PVs in memory and a clock that the test turns."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import write_files

from iocmng import JobBase, JobResult, TaskBase, TemporaryError, pv_client
from iocmng.errors import InvalidRequest, PluginRejected, ServerUnavailable, TimedOut, UnknownPv, WrongKind
from iocmng.testing import FakeClock, FakePvClient, PluginHarness

EXAMPLES = Path(__file__).parents[2] / "examples"

CONFIG = {
    "parameters": {"interval": 0.5, "gain": 2},
    "pvs": {
        "inputs": {"SETPOINT": {"type": "float", "drive_low": 0, "drive_high": 10}},
        "outputs": {"OUT": {"type": "float", "alarms": {"high": 15}}},
    },
}


class Amplifier(TaskBase):
    """Notes what is called, and does in each cycle what the test asks for."""

    trouble = None

    def initialize(self):
        self.calls = ["initialize"]

    def execute(self):
        self.calls.append("execute")
        if self.trouble:
            raise self.trouble
        self.set_pv("OUT", self.parameters["gain"] * self.get_pv("SETPOINT"))

    def on_write(self, pv_name, value):
        self.calls.append((pv_name, value))

    def cleanup(self):
        self.calls.append("cleanup")


class Counter(JobBase):
    """Reports progress in quarters."""

    def initialize(self):
        self.logger.info("counts to %s", self.parameters["to"])

    def execute(self):
        for number in range(1, 5):
            if self.cancelled:
                return JobResult(False, message=f"cancelled at {number - 1}")
            self.report_progress(number / 4, f"at {number}")
        return self.parameters["to"]


@pytest.fixture
def amplifier(run_plugin):
    """The amplifier, waiting for its start."""
    return run_plugin(Amplifier, config=CONFIG, name="amplifier")


def test_before_the_start_the_pvs_are_there(amplifier):
    """As on a server with auto_start false: the IOC is up, the cycles wait."""
    assert (amplifier.status, amplifier.message) == ("INIT", "")
    assert amplifier.plugin.pv_prefix == "TEST:AMPLIFIER"
    assert (amplifier.pvs["VERSION"].value, amplifier.pvs["ENABLE"].text) == ("local", "ENABLED")
    amplifier.put("SETPOINT", 3)
    amplifier.advance(60)
    assert amplifier.pvs["OUT"].value == 0
    assert not hasattr(amplifier.plugin, "calls")


def test_cycles_are_run_when_they_are_due(amplifier):
    """The first comes with the start, each further one after the interval, and none before."""
    amplifier.start()
    assert amplifier.plugin.calls == ["initialize", "execute"]
    amplifier.advance(0.4)
    assert amplifier.plugin.cycle_count == 1
    amplifier.advance(0.1)
    assert amplifier.plugin.cycle_count == 2
    amplifier.advance(100)
    assert amplifier.plugin.cycle_count == amplifier.pvs["CYCLE_COUNT"].value == 202
    assert amplifier.pvs["HEARTBEAT"].value == amplifier.pvs["UPTIME"].value == 100


def test_a_put_reaches_the_plugin_as_from_a_client(amplifier):
    """Clamped by the drive limits, told to on_write(), and seen by the next cycle with its alarm."""
    amplifier.start()
    amplifier.put("SETPOINT", 99)
    assert amplifier.plugin.calls[-1] == ("SETPOINT", 10.0)
    amplifier.advance(0.5)
    assert (amplifier.pvs["OUT"].value, amplifier.pvs["OUT"].severity) == (20, "MINOR")
    assert amplifier.pvs["OUT"].history == [0, 0, 20]


def test_enable_pauses_and_resumes(amplifier):
    """ENABLE 0 is PAUSED without cycles, by number and by name; ENABLE 1 goes on at once."""
    amplifier.start()
    amplifier.put("ENABLE", "DISABLED")
    amplifier.advance(10)
    assert (amplifier.status, amplifier.plugin.cycle_count) == ("PAUSED", 1)
    amplifier.put("ENABLE", 1)
    assert (amplifier.status, amplifier.plugin.cycle_count) == ("RUN", 2)


def test_a_failing_cycle_shows_and_backs_off(amplifier):
    """STATUS, severity, MESSAGE and the log say it, the tries get rarer, a good cycle ends it."""
    amplifier.start()
    amplifier.plugin.trouble = OSError("no answer")
    amplifier.advance(0.5)
    assert (amplifier.status, amplifier.pvs["STATUS"].severity) == ("ERROR", "MAJOR")
    assert amplifier.message == "OSError: no answer"
    assert "no answer" in amplifier.log[-1]
    before = amplifier.plugin.cycle_count
    amplifier.advance(7)
    assert amplifier.plugin.cycle_count == before + 3
    amplifier.plugin.trouble = None
    amplifier.advance(8)
    assert (amplifier.status, amplifier.message) == ("RUN", "")


def test_a_temporary_error_chooses_its_delay(amplifier):
    """The clock of the test is the one that counts."""
    amplifier.plugin.trouble = TemporaryError("warming up", delay=30)
    amplifier.start()
    amplifier.advance(29.9)
    assert amplifier.plugin.cycle_count == 1
    amplifier.advance(0.1)
    assert amplifier.plugin.cycle_count == 2


def test_code_that_takes_time_causes_overruns(run_plugin):
    """A cycle that waits on the harness's clock loses the slots that pass meanwhile."""

    class Slow(Amplifier):
        def execute(self):
            super().execute()
            self.wait(1.2)

    slow = run_plugin(Slow, config=CONFIG)
    slow.plugin.wait = slow.clock.sleep
    slow.start()
    slow.advance(3.2)
    assert slow.plugin.cycle_count == 3


def test_stop_runs_cleanup_and_start_begins_anew(amplifier):
    """As stop and start of a server do."""
    amplifier.start()
    amplifier.stop()
    assert (amplifier.status, amplifier.plugin.calls[-1]) == ("END", "cleanup")
    amplifier.advance(10)
    amplifier.start()
    assert (amplifier.status, amplifier.plugin.calls) == ("RUN", ["initialize", "execute"])


def test_the_end_of_the_test_runs_cleanup():
    """close() does it, once, and takes everything back that the harness has changed."""
    path = list(sys.path)
    harness = PluginHarness(Amplifier, config=CONFIG, name="closing")
    harness.start()
    harness.close()
    harness.close()
    assert harness.plugin.calls.count("cleanup") == 1
    assert logging.getLogger("iocmng.task.closing").handlers == []
    assert sys.path == path
    with pytest.raises(ServerUnavailable):
        pv_client.get("LAB:TEMPERATURE")


def test_initialize_that_raises_is_rejected_as_by_a_server(run_plugin):
    """The error names step, file and line."""

    class Broken(Amplifier):
        def initialize(self):
            raise KeyError("port")

    broken = run_plugin(Broken, config=CONFIG)
    with pytest.raises(PluginRejected, match=r"initialize: KeyError: 'port' \(test_harness.py, line \d+\)"):
        broken.start()
    assert broken.status == "ERROR"


def test_a_triggered_task_runs_when_run_is_written(run_plugin):
    """RUN returns to 0, STATUS is END, and INIT two seconds later."""
    stage = run_plugin(EXAMPLES / "move_stage")
    stage.start()
    stage.put("TARGET", 2)
    stage.trigger()
    assert (stage.status, stage.pvs["POSITION"].value, stage.pvs["RUN"].value) == ("END", 2, False)
    stage.advance(2)
    assert stage.status == "INIT"


def test_a_job_is_run_with_parameters(run_plugin):
    """They are laid over its own for this run; progress, message, STATUS and last_result follow."""
    job = run_plugin(Counter, config={}, parameters={"to": 4})
    result = job.run_job(to=5)
    assert (result.success, result.data, job.status) == (True, 5, "SUCCESS")
    assert job.progress == [25, 50, 75, 100, 100]
    assert job.plugin.last_result.data == 5
    assert job.run_job().data == 4
    assert ["counts to 5" in job.log[0], "counts to 4" in job.log[1]] == [True, True]


def test_a_job_is_run_by_its_pv(run_plugin):
    """Writing 1 to RUN does it, with the job's own parameters."""
    job = run_plugin(Counter, config={}, parameters={"to": 4})
    job.trigger()
    assert (job.status, job.pvs["PROGRESS"].value, job.plugin.last_result.data) == ("SUCCESS", 100, 4)


def test_a_run_is_cancelled_where_the_test_says(run_plugin):
    """`cancelled` turns true at that progress, for one run."""
    job = run_plugin(Counter, config={}, parameters={"to": 4})
    job.cancel_at(50)
    result = job.run_job()
    assert (result.success, result.message, job.status) == (False, "cancelled at 2", "FAILED")
    assert job.run_job().success


def test_a_task_is_no_job(amplifier):
    """run_job() of a task raises what a server answers."""
    with pytest.raises(WrongKind):
        amplifier.run_job()


@pytest.mark.parametrize("kind", [Amplifier, Counter])
@pytest.mark.parametrize("method", ["initialize", "execute"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), pytest.fail.Exception("too hot"), pytest.skip.Exception("none")]
)
def test_ctrl_c_and_pytests_own_words_reach_pytest(run_plugin, kind, method, error):
    """They are no error of the plugin; the harness goes on to work afterwards."""
    trouble = [error]

    def stub(self):
        if trouble:
            raise trouble.pop()

    harness = run_plugin(type("Stubbed", (kind,), {method: stub}), config=CONFIG, parameters={"to": 4})
    with pytest.raises(type(error)) as caught:
        harness.start() if kind is Amplifier else harness.run_job()
    assert caught.value is error
    if method == "execute":
        harness.advance(5) if kind is Amplifier else harness.trigger()
        assert harness.status in ("RUN", "SUCCESS")


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), OSError()])
def test_what_is_the_plugins_own_stays_there(amplifier, error):
    """A plugin that calls exit() is in ERROR, and the test goes on."""
    amplifier.plugin.trouble = error
    amplifier.start()
    assert amplifier.status == "ERROR"


def test_outside_pvs_are_a_dictionary(run_plugin):
    """pv_client reads and writes them; one that is not there does not answer."""

    class Reader(Amplifier):
        def execute(self):
            pv_client.put("LAB:COPY", pv_client.get("LAB:TEMPERATURE"))

    outside = FakePvClient({"LAB:TEMPERATURE": 21.5, "LAB:COPY": 0})
    reader = run_plugin(Reader, config=CONFIG, outside=outside)
    reader.start()
    assert reader.outside.puts == [("LAB:COPY", 21.5)]
    del outside.values["LAB:TEMPERATURE"]
    reader.advance(0.5)
    assert reader.message.startswith("TimedOut: LAB:TEMPERATURE did not answer within 5 s")
    with pytest.raises(TimedOut):
        outside.put("LAB:OTHER", 1, 1.0)


def test_plugins_of_one_test_share_the_outside(run_plugin):
    """As pv_client is one for the whole process."""

    class Reader(Amplifier):
        def execute(self):
            self.set_pv("OUT", pv_client.get("LAB:TEMPERATURE"))

    one, other = run_plugin(Reader, config=CONFIG, name="one"), run_plugin(Reader, config=CONFIG, name="other")
    one.outside.values["LAB:TEMPERATURE"] = 3.0
    one.start()
    other.start()
    assert (one.pvs["OUT"].value, other.pvs["OUT"].value) == (3.0, 3.0)


def test_each_of_two_harnesses_keeps_its_own_outside():
    """Two with PVs of their own go on side by side, in whatever order they are closed."""

    class Reader(Amplifier):
        def execute(self):
            self.set_pv("OUT", pv_client.get("LAB:TEMPERATURE"))

    def made(name, value):
        return PluginHarness(Reader, config=CONFIG, name=name, outside=FakePvClient({"LAB:TEMPERATURE": value}))

    one, other = made("one", 1.0), made("other", 2.0)
    one.start()
    other.start()
    assert (one.pvs["OUT"].value, other.pvs["OUT"].value) == (1.0, 2.0)
    assert pv_client.get("LAB:TEMPERATURE") == 2.0
    one.close()
    other.outside.values["LAB:TEMPERATURE"] = 3.0
    other.advance(1.0)
    assert other.pvs["OUT"].value == 3.0
    other.close()
    with pytest.raises(ServerUnavailable):
        pv_client.get("LAB:TEMPERATURE")


def test_a_harness_that_cannot_be_made_leaves_nothing():
    """The plugin's logger and pv_client are as they were before."""

    class Broken(Amplifier):
        def __init__(self, *args, **kwargs):
            raise RuntimeError("no licence")

    logger = logging.getLogger("iocmng.task.broken")
    before = list(logger.handlers)
    with pytest.raises(PluginRejected, match="no licence"):
        PluginHarness(Broken, config=CONFIG, name="broken")
    assert (logger.filters, logger.handlers) == ([], before)
    with pytest.raises(ServerUnavailable):
        pv_client.get("LAB:TEMPERATURE")


def test_parameters_win_over_config(run_plugin):
    """As those of an add do, `mode` included."""
    harness = run_plugin(Amplifier, config=CONFIG, parameters={"gain": 3, "mode": "reactive"})
    harness.start()
    harness.put("SETPOINT", 5)
    assert harness.pvs["OUT"].value == 15


@pytest.mark.parametrize(
    ("files", "step", "words"),
    [
        ({"p.py": "class X(:\n"}, "syntax", "SyntaxError"),
        ({"p.py": "import no_such_thing\nclass X: pass\n"}, "import", "no_such_thing"),
        ({"p.py": "from iocmng import TaskBase\nclass X:\n    pass\n"}, "inheritance", "no plugin class"),
        ({"p.py": "from iocmng import TaskBase\nclass X(TaskBase):\n    pass\n"}, "abstract methods", "cleanup"),
        (
            {
                "p.py": "from iocmng import DeclarativeTask\nclass X(DeclarativeTask):\n    pass\n",
                "config.yaml": "pvs: {inputs: {STATUS: {type: float}}}",
            },
            "config",
            "built-in",
        ),
        ({"p.py": "", "config.yaml": "paramters: {}"}, "config", "did you mean 'parameters'"),
    ],
)
def test_a_directory_passes_the_checks_of_a_server(run_plugin, tmp_path, files, step, words):
    """Each check that fails raises its error."""
    path = list(sys.path)
    with pytest.raises(PluginRejected, match=words) as caught:
        run_plugin(write_files(tmp_path / f"rejected-{step.split()[0]}-{len(words)}", files))
    assert caught.value.failures[0].step == step
    assert sys.path == path


def test_a_class_passes_them_too(run_plugin):
    """A class that lacks a method is rejected by its name."""

    class Half(TaskBase):
        def initialize(self):
            pass

    with pytest.raises(PluginRejected, match=r"Half lacks cleanup\(\), execute\(\)"):
        run_plugin(Half)
    with pytest.raises(PluginRejected, match=r"`type` says job, but Amplifier \(.*\) is a task"):
        run_plugin(Amplifier, config={"type": "job"})


def test_plugins_with_modules_of_the_same_names_do_not_meet(tmp_path):
    """Each finds its own helper, one after the other, and a changed file is read anew."""
    source = """\
        from helper import WORD
        from iocmng import DeclarativeTask

        class Speaker(DeclarativeTask):
            def initialize(self):
                self.set_message(WORD)
        """
    said = []
    for number, name in enumerate(("one", "other", "one")):
        files = {"speaker.py": source, "helper.py": f"WORD = {name + number * '!'!r}\n"}
        harness = PluginHarness(write_files(tmp_path / name, files))
        harness.start()
        said.append(harness.message)
        harness.close()
    assert said == ["one", "other!", "one!!"]


def test_what_is_not_there_is_told(run_plugin, amplifier, tmp_path):
    """A directory, a config file, a PV."""
    with pytest.raises(InvalidRequest, match="there is no directory"):
        run_plugin(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest, match="cannot read"):
        run_plugin(Amplifier, config=tmp_path / "nowhere.yaml")
    with pytest.raises(UnknownPv, match=r"no PV 'SETPINT'; there are .*SETPOINT"):
        amplifier.put("SETPINT", 1)


def test_no_thread_is_started(amplifier):
    """All of it happens in the test's own thread."""
    before = threading.active_count()
    amplifier.start()
    amplifier.advance(10)
    assert threading.active_count() == before


def test_neither_epics_nor_ray_is_loaded():
    """The harness needs none of the heavy libraries."""
    code = (
        f"import sys\nfrom iocmng.testing import PluginHarness\nh = PluginHarness({str(EXAMPLES / 'my_monitor')!r})\n"
        "h.start(); h.advance(5); h.close()\n"
        "print([n for n in ('ray', 'softioc', 'cothread', 'p4p', 'epicscorelibs', 'pytest', 'fastapi') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_clock_goes_forward_only():
    """A negative time is a mistake of the test."""
    clock = FakeClock(5.0)
    clock.advance(1)
    assert clock.monotonic() == 6.0
    with pytest.raises(ValueError, match="forward only"):
        clock.sleep(-1)
