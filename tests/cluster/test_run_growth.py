"""Nothing grows with the number of runs: processes, file descriptors, memory; the history keeps its limit."""

import httpx
import pytest
from faults import tell
from support import Server, wait_for
from test_growth import descriptors, resident, watched

RUNS = 1000
WARM_UP = 200
BYTES_PER_RUN = 4_000
"""Of resident memory, for what the allocator keeps; 1000 runs are 4 MB."""

DESCRIPTORS = 10
"""By which the number of open files may differ: connections come and go."""

JOB = """\
from iocmng import JobBase


class Quick(JobBase):
    def initialize(self):
        pass

    def execute(self):
        self.logger.info("a line")
        self.report_progress(0.5, "half")
        return {"number": self.parameters.get("number")}
"""


def measure(server, job):
    """Return the numbers of one moment."""
    pids = {**watched(server), "job": job}
    return {
        "processes": len(server.descendants()),
        "descriptors": {what: descriptors(pid) for what, pid in pids.items()},
        "resident": {what: resident(pid) for what, pid in pids.items()},
        "pids": pids,
    }


def run_often(server, count):
    """Run the job so often over one connection."""
    with httpx.Client(base_url=server.http.base_url, timeout=30) as client:
        for number in range(count):
            answer = client.post("/jobs/quick/run", json={"parameters": {"number": number}})
            assert answer.status_code == 200, answer.text
            assert answer.json()["result"]["data"] == {"number": number}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_runs_leave_no_trace(tmp_path, capsys):
    """After a warm-up everything stays: the same processes, as many files, as much memory; 50 runs are kept."""
    server = Server(tmp_path, "RGR", IOCMNG_RUNS_KEPT="50", IOCMNG_EVENTS_KEPT="100").wait_until_ready()
    try:
        answer = server.add("quick", {"m.py": JOB}, "jobs")
        assert answer.status_code == 201, answer.text
        job = answer.json()["plugin"]["pid"]
        wait_for(lambda: len(server.plugin_processes()) == 2, "the job and one warm process", 30)
        run_often(server, WARM_UP)
        before = measure(server, job)
        run_often(server, RUNS)
        after = measure(server, job)
        page = server.http.get("/jobs/quick/runs?limit=1000").json()
        assert page["count"] == 50
        assert page["runs"][0]["run_id"] == WARM_UP + RUNS
        assert {run["state"] for run in page["runs"]} == {"success"}
        assert server.get("quick")["runs"]["running"] == []
    finally:
        assert server.stop() == 0, server.log.read_text()
    for key in ("processes", "descriptors", "resident"):
        tell(capsys, f"{key}: {before[key]} -> {after[key]}")
    assert after["pids"] == before["pids"]
    assert after["processes"] <= before["processes"] + 1
    for what, count in before["descriptors"].items():
        assert after["descriptors"][what] <= count + DESCRIPTORS, what
    for what, size in before["resident"].items():
        assert after["resident"][what] - size <= RUNS * BYTES_PER_RUN, what
