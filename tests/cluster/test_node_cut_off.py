"""A node that is cut off from the network: its IOCs end before others serve their PVs elsewhere.

Two machines (network namespaces) with real `ray start`; the second one has a state directory of its own.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from faults import kill
from namespaces import Network, ServerOn, Watch, clean, missing
from support import LOOPBACK, MINIMAL_TASK, wait_for

REASON = missing()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

RAY = Path(sys.executable).with_name("ray")
LEASE, CLEANUP_LIMIT, MARGIN = 6, 5, 2

ENVIRONMENT = LOOPBACK | {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
    # A node is dead for Ray after some eight seconds instead of twenty.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "6",
}

HELPED = MINIMAL_TASK.replace("import TaskBase", "import TaskBase\nimport thing").replace(
    "def initialize(self):\n        pass", 'def initialize(self):\n        self.set_pv("WHAT", thing.WHAT)'
)
THING = {
    "requirements.txt": "./thing\n",
    "thing/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    '[project]\nname = "thing"\nversion = "1.0"\n',
    "thing/backend.py": """\
import pathlib, zipfile


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("thing.py", "WHAT = 'shipped'\\n")
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n")
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    return name
""",
}


class Site:
    """A head and a worker machine, each with Ray, and a server on the head."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="iocmng-cut-", dir="/tmp"))
        self.network = Network()
        self.head, self.worker = self.network.machine(), self.network.machine()
        self.log = self.root / "ray.log"
        options = f"--head --port=6379 --temp-dir={self.root}/r --include-dashboard=false --num-cpus=2"
        self._ray(self.head, options, {})
        wait_for(lambda: "Ray runtime started" in self.log.read_text(), f"the head; log: {self.log}", 40)
        (self.root / "plugins").mkdir()
        self.worker_files = self.root / "plugins of the worker"
        self.worker_files.mkdir()
        self.join(self.worker, {"arm": 2})
        own = {"IOCMNG_RAY_ADDRESS": f"{self.head.address}:6379", "IOCMNG_LEASE": str(LEASE)}
        self.server = ServerOn(self.head, self.root, "CUT", ENVIRONMENT | own).wait_until_ready()

    def join(self, machine, resources):
        label = "--labels=iocmng/epics-public-host=worker.example.org" if machine is self.worker else ""
        own_files = f"mount --bind '{self.worker_files}' {self.root}/plugins &&"
        mounts = own_files if machine is self.worker else ""
        self._ray(machine, f"--address={self.head.address}:6379 --num-cpus=1 {label}", resources, mounts)

    def _ray(self, machine, options, resources, mounts=""):
        given = f"--resources='{json.dumps(resources)}' --node-ip-address={machine.address} --disable-usage-stats"
        machine.start(f"{RAY} start {options} {given} --block", self.log, mounts, env=clean() | ENVIRONMENT)

    def end(self):
        self.network.end()
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module")
def site():
    made = Site()
    yield made
    made.end()


def add(site, name, config="", files=None, resource="arm"):
    files = {"m.py": MINIMAL_TASK, "config.yaml": f"resources: {{{resource}: 1}}\n" + config} | (files or {})
    wait_for(lambda: site.server.add(name, files).status_code == 201, f"{name} is added", 60)
    plugin = site.server.get(name)
    assert plugin["endpoint"]["host"] == site.worker.address
    assert plugin["endpoint"]["public_host"] == "worker.example.org"
    assert site.worker.serves(f"CUT:{name.upper()}:HEARTBEAT")
    return plugin


def test_files_and_requirements_are_brought_and_removed(site):
    """A node with its own state directory gets bundle and requirements, and keeps nothing of a removed plugin."""
    pv = "pvs: {inputs: {KEPT: {type: int}}, outputs: {WHAT: {type: string}}}\n"
    plugin = add(site, "helped", pv, THING | {"m.py": HELPED})
    state = site.worker_files / ".iocmng"
    assert plugin["status"] == "running"
    assert state.stat().st_mode & 0o777 == 0o700
    assert len(list((state / "bundles").iterdir())) == len(list((state / "packages").iterdir())) == 1
    wait_for(lambda: list((state / "values").glob("*/*")), "values are kept there")
    assert site.server.http.delete("/plugins/helped").status_code == 200
    wait_for(lambda: not list(state.glob("*/*")), "nothing is left on the other node")
    assert site.server.leftovers() == []


def test_a_map_brings_its_plugin_along(site):
    """A map() runs on the other node too, which gets the plugin's files and requirements, and keeps none of them."""
    job = """\
    import time
    import ray
    import thing
    from iocmng import JobBase

    def where(item):
        time.sleep(1)
        return [thing.WHAT, ray.util.get_node_ip_address()]

    class Spread(JobBase):
        def initialize(self):
            pass

        def execute(self):
            return self.map(where, range(9))
    """
    answer = site.server.add("spread", THING | {"spread.py": job})
    assert answer.status_code == 201, answer.text
    run = site.server.http.post("/jobs/spread/run").json()
    assert run["ok"] is True, run
    assert {tuple(one) for one in run["result"]["data"]} == {
        ("shipped", site.head.address),
        ("shipped", site.worker.address),
    }
    assert site.server.http.delete("/plugins/spread").status_code == 200
    state = site.worker_files / ".iocmng"
    wait_for(lambda: not list(state.glob("*/*")), "nothing is left on the other node")


def test_a_cut_that_is_shorter_than_the_lease_changes_nothing(site):
    """The head's link is down for half a lease: the IOC goes on in its process, and nothing was restarted."""
    before = add(site, "short")
    watch = Watch(site.worker, "CUT:SHORT:HEARTBEAT")
    site.head.cut()
    time.sleep(LEASE / 2)
    site.head.join()
    time.sleep(LEASE)
    watch.end()
    assert watch.served
    assert not watch.missed
    after = site.server.get("short")
    assert {key: after[key] for key in ("pid", "status", "restarts")} == {
        "pid": before["pid"],
        "status": "running",
        "restarts": 0,
    }
    assert site.server.http.delete("/plugins/short").status_code == 200


def test_two_iocs_never_serve_at_once(site, capsys):
    """The worker is cut off: its IOCs end with the lease, replacements start later; then the link is back."""
    add(site, "plain")
    add(site, "dog", "watchdog: {seconds: 2, restart: true}\n")
    site.join(site.head, {"arm": 2})  # a second node on the head's machine can take them
    time.sleep(5)
    pvs = ("CUT:PLAIN:HEARTBEAT", "CUT:DOG:HEARTBEAT")
    old = [Watch(site.worker, pv) for pv in pvs]
    new = [Watch(site.head, pv) for pv in pvs]
    cut = site.worker.cut()
    wait_for(lambda: all(watch.served for watch in new), "both serve on the other node", 60)
    for watch, pv in zip(old, pvs, strict=True):
        ended = watch.served[-1] - cut
        begun = next(watch.served[0] for watch in new if watch.pv == pv) - cut
        with capsys.disabled():
            print(f"\n{pv}: last served {ended:.1f} s after the cut, elsewhere from {begun:.1f} s on")  # noqa: T201
        assert LEASE - 2 < ended < LEASE + CLEANUP_LIMIT
        assert ended < begun
    for watch in old:
        watch.served.clear()
    pids = {name: site.server.get(name)["pid"] for name in ("plain", "dog")}
    site.worker.join()
    time.sleep(8)
    for watch in (*old, *new):
        watch.end()
    assert not any(watch.served for watch in old)
    assert site.worker.pids(b"PluginProcess") == []
    assert {name: site.server.get(name)["pid"] for name in pids} == pids
    assert [site.server.get(name)["status"] for name in pids] == ["running"] * 2


def test_a_new_controller_that_cannot_see_a_node_waits(site, capsys):
    """The worker is cut off and the Controller killed: the next one knows where the plugin ran, and waits as long."""
    site.join(site.worker, {"leg": 1})
    add(site, "leg", resource="leg")
    pv = "CUT:LEG:HEARTBEAT"
    old, new = Watch(site.worker, pv), Watch(site.head, pv)
    cut = site.worker.cut()
    (controller,) = site.head.pids(b"ControllerActor")
    kill(controller)
    site.join(site.head, {"leg": 1})
    wait_for(lambda: new.served, "it serves on the other node", 90)
    old.end()
    new.end()
    ended, begun = old.served[-1] - cut, new.served[0] - cut
    with capsys.disabled():
        print(f"\nlast served {ended:.1f} s after the cut, elsewhere from {begun:.1f} s on")  # noqa: T201
    assert ended < LEASE + CLEANUP_LIMIT
    assert begun > LEASE + CLEANUP_LIMIT + MARGIN
    site.worker.join()
