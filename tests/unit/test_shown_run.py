"""Which run of a job its PVs show, where several go on at once."""

import threading

import pytest
from base_fakes import FakeClock, FakePvs
from support import wait_for

from iocmng import JobBase, JobResult
from iocmng.base.host import PluginHost
from iocmng.base.identity import identify
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.runs import RunOrder
from iocmng.core.spec import Report
from iocmng.errors import PvValueError

CONFIG = """\
type: job
pvs:
  inputs: {GAIN: {type: float, value: 1}, OPEN: {type: bool, value: true}}
  outputs: {OUT: {type: int, value: 0}, MODE: {type: enum, states: [A, B]}}
"""
LIMIT = 10


class Server(FakePvs):
    """Records as a dictionary."""

    def build(self, pv_prefix, pvs, on_write):
        self.on_write = on_write
        self.values = {pv.name: pv.pv.coerce(pv.pv.value) for pv in pvs}
        return ()


class Work(JobBase):
    """Does what the test puts into `work`."""

    def initialize(self):
        pass

    def execute(self):
        return self.work(self)


def build(work, *, serves=True, hands_out=True):
    """Return a host with the job built, its records, and how often it was notified."""
    server, told = Server(), []
    host = PluginHost(server, FakeClock(), told.append, hands_out_runs=hands_out)
    if not serves:
        host.serve_nothing()
    identity = identify("work", "X:WORK", Work, parse_manifest(CONFIG), {}, commit=None)
    host.build(Work, identity, "info").result(LIMIT)
    host._plugin.work = work
    return host, server, told


def other(run, version=5, state="RUNNING", **fields):
    """Return what a run in another process says of itself."""
    word = "running" if state == "RUNNING" else "loaded"
    return run, Report(version, word, state, f"run {run}", state == "RUNNING", **fields)


def test_a_newer_run_elsewhere_takes_the_pvs():
    """What the older one sets from then on stays with it, and it reads it back."""
    seen = []

    def work(job):
        job.set_pv("OUT", 1)
        host.follow_run(*other(8, puts=(("OUT", 80, None), ("PROGRESS", 30, None))))
        job.set_pv("OUT", 2)
        job.set_message("mine")
        job.set_status("FAILED")
        job.report_progress(0.9)
        seen.append((job.get_pv("OUT"), job.get_pv("GAIN")))
        with pytest.raises(PvValueError):
            job.set_pv("OUT", "no number")
        return JobResult(True, message="older")

    host, server, _ = build(work)
    outcome = host.run_job(RunOrder(7)).result(LIMIT)
    assert seen == [(2, 1.0)]
    assert (server.values["OUT"], server.values["PROGRESS"], server.values["MESSAGE"]) == (80, 30, "run 8")
    assert server.history["STATUS"][-1] == "RUNNING"
    assert outcome.result["success"] is True
    host.follow_run(*other(8, 6, "SUCCESS"))
    assert (server.values["STATUS"], host.report().status) == ("SUCCESS", "loaded")


def test_the_next_run_here_is_the_newest_again():
    """What was kept back is forgotten, and what older runs elsewhere say is not shown."""

    def work(job):
        seen.append(job.get_pv("OUT"))
        host.follow_run(*other(8, 9, puts=(("OUT", 80, None),)))
        job.set_pv("OUT", 9)

    seen = []
    host, server, _ = build(work)
    host.follow_run(*other(8, puts=(("OUT", 3, None),)))
    host.run_job(RunOrder(9)).result(LIMIT)
    assert seen == [3]
    assert (server.values["OUT"], server.values["STATUS"]) == (9, "SUCCESS")


def test_an_older_report_of_the_shown_run_is_not_shown():
    """Reports come by more than one way, so an older one may come later."""
    host, server, _ = build(lambda job: None)
    host.follow_run(*other(8, 6, "SUCCESS", puts=(("OUT", 2, None),)))
    host.follow_run(*other(8, 5, "RUNNING", puts=(("OUT", 1, None),)))
    assert (server.values["STATUS"], server.values["OUT"]) == ("SUCCESS", 2)


def test_a_process_for_runs_alone_reports_what_they_set():
    """It begins with the values of the job's own process, and hands out the newest value of each PV once."""
    told = []

    def work(job):
        told.append((job.get_pv("GAIN"), job.get_pv("OPEN"), job.get_pv("OUT")))
        job.set_pv("OUT", 1)
        job.set_pv("MODE", "B", "MINOR")
        job.set_pv("OUT", 2)
        told.append([(name, value) for name, value, _ in host.report().puts if name in ("OUT", "MODE")])
        job.set_pv("GAIN", 7)

    host, server, notified = build(work, serves=False)
    host.run_job(RunOrder(7, {}, {"GAIN": 5.0, "OPEN": False})).result(LIMIT)
    assert told == [(5.0, False, 0), [("MODE", 1), ("OUT", 2)]]
    assert ("GAIN", 7.0, None) in host.report().puts
    assert host.report().puts == ()
    assert server.values == {}
    assert True in notified
    host.run_job(RunOrder(8, {}, {"GAIN": 5.0})).result(LIMIT)
    assert told[2][0] == 5.0


def test_the_values_for_another_process_are_the_plugins_own():
    """The built-in PVs belong to each process."""
    host, *_ = build(lambda job: None)
    assert host.pv_values() == {"GAIN": 1.0, "OPEN": True, "OUT": 0, "MODE": 0}


# RUN


def test_run_stays_1_until_somebody_takes_note_of_it():
    """Each put counts; no run is begun here."""
    host, server, told = build(lambda job: None)
    server.values["RUN"] = True
    for _ in range(2):
        server.on_write("RUN", True)
    server.on_write("RUN", False)
    assert server.values["RUN"] is True
    assert told[-1] is True
    assert host.report().wanted_runs == host.report().wanted_runs == 2, "a report may reach nobody"
    assert host.take_wanted_runs() == ("", "")
    assert host.report().wanted_runs == 0
    assert server.values["RUN"] is False
    assert host.take_wanted_runs() == ()
    host.thread.submit(lambda: None).result(LIMIT)
    assert host._plugin.last_result is None


def test_run_runs_at_once_where_nobody_takes_note():
    """As `iocmng run` has it."""
    host, server, _ = build(lambda job: JobResult(True, message="here"), hands_out=False)
    server.on_write("RUN", True)
    host.thread.submit(lambda: None).result(LIMIT)
    assert (server.values["RUN"], host._plugin.last_result.message) == (False, "here")


def test_a_message_beside_a_run_is_not_the_runs():
    """MESSAGE shows it; the run's own message stays, and so does STATUS while it goes on."""
    told = []

    def work(job):
        job.set_message("mine")
        host.show("RUN was refused", "FAILED")
        told.append((host.report().run.message, host.report().state))

    host, server, _ = build(work)
    host.run_job(RunOrder(7)).result(LIMIT)
    assert told == [("mine", "RUNNING")]
    assert "RUN was refused" in server.history["MESSAGE"]
    host.show("run 7 was lost", "FAILED")
    assert (server.values["STATUS"], host.report().status) == ("FAILED", "error")


def test_what_a_run_has_set_can_be_told_again():
    """A report may have gone to a Controller that has died: the next is told all that it set, in its order."""

    def work(job):
        job.set_pv("OUT", 1)
        first.extend(host.report().puts)
        job.set_pv("MODE", "B")
        host.report()

    first = []
    host, _, _ = build(work, serves=False)
    host.run_job(RunOrder(1, pvs={"GAIN": 3.0})).result(LIMIT)
    assert ("OUT", 1, None) in first
    host.tell_again()
    told = [name for name, *_ in host.report().puts]
    assert told.index("OUT") < told.index("MODE")
    assert host.report().puts == ()


def test_a_run_that_hangs_in_a_process_that_serves_nothing_is_noticed():
    """Its report says so, as that of the job's own process would."""
    release = threading.Event()
    server, told = Server(), []
    host = PluginHost(server, FakeClock(), told.append, hands_out_runs=True)
    host.serve_nothing()
    manifest = parse_manifest(CONFIG + "watchdog: 3\n")
    identity = identify("work", "X:WORK", Work, manifest, {}, commit=None)
    host.build(Work, identity, "info").result(LIMIT)
    begun = threading.Event()

    def work(job):
        begun.set()
        release.wait(LIMIT)

    host._plugin.work = work
    run = host.run_job(RunOrder(1, pvs={}))
    assert begun.wait(LIMIT)
    host._clock.sleep(10)
    host.look_after()
    try:
        wait_for(lambda: host.report().hung, "the run is said to hang")
    finally:
        release.set()
        run.result(LIMIT)
        host.end().result(LIMIT)
