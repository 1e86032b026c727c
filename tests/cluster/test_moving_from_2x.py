"""A site of 2.x gets the new image, and everything else stays as it is.

What is promised to such a site, and the tests that hold it (other files are below tests/):

- `iocmng-server` with the chart's `start`, environment, paths and port: test_the_server_of_a_chart
- what 2.x left in the plugins directory: the same; store/test_store_legacy.py
- plugins.yaml without a source, with a branch everywhere: the same; loading/test_plugins_file_of_2x.py
- config.yaml as it is, old forms with a warning: unit/test_old_config.py, unit/test_manifest.py
- an input RESET, and other names that are built in now: test_a_reset_of_its_own; kit/test_old_built_in_names.py
- `iocmng-run`: options, names, requirements, a job's run, start.sh: ioc/test_run_as_2x.py, ioc/test_run_options.py
- `iocmng-run` fits a pod of 256 Mi and loads no Ray: ioc/test_run_options.py
- PV names, from PREFIX and config `prefix` or NAME with its hyphens: unit/test_names.py, cluster/test_main_job.py
- names with underscores for hyphens: test_the_server_of_a_chart, test_two_plugins_never_serve_the_same_name;
  ioc/test_aliases.py
- built-in PVs, the order of their states, 1 switches on: ioc/test_task_pvs.py, ioc/test_job_pvs.py,
  ioc/test_task_modes.py
- PV lists, by --pvout and as NAME/pvlist.txt: ioc/test_run_as_2x.py, cluster/test_pv_lists.py
- the dashboard's calls and the keys that it reads, `detail` a text, no 404 from an add: test_the_dashboard_...; api/
- calls of a page from another origin: the same; api/test_api_cors.py, api/test_api_browser_guard.py
- commands on the image's PATH, `jnjrender`, user 1000, port 8080: artifacts/test_image.py,
  artifacts/test_image_build.py
- the file of an older controller, `iocmng import`: unit/test_old_controller.py

Not there yet: links, rules and transforms of config.yaml, and the calls /pv/... and POST /pvs/....
"""

import json
import time

import pytest
import yaml
from old_site import OldSite, missing
from support import make_repository, wait_for, write_files

REASON = missing()
pytestmark = [pytest.mark.thorough, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

DASHBOARD = "https://dashboard.example.org"

# As release 2.x knew it, with an input that has become built in and a text that the dashboard's wizard wrote as 0.
PUMP = """\
from iocmng import TaskBase

class WaterPump(TaskBase):
    def initialize(self):
        self.resets = 0

    def execute(self):
        if self.get_pv("RESET"):
            self.resets += 1
            self.set_pv("RESETS", self.resets)

    def cleanup(self):
        pass
"""
PUMP_CONFIG = """\
parameters:
  mode: continuous
  interval: 0.1
pvs:
  inputs:
    RESET:
      type: bool
      value: 0
    NOTE:
      type: string
      value: 0
      unit: ""
  outputs:
    RESETS:
      type: int
      value: 0
      unit: "times"
"""
SURVEY = """\
from iocmng import JobBase
from iocmng.base.job import JobResult

class Survey(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return JobResult(success=True, data={"points": 3}, message="surveyed")
"""
VALVE = PUMP.replace("WaterPump", "Valve")

# What the chart gives the pod, what the image of 2.x set, and below the line what a site adds for 3.0.
ENVIRONMENT = {
    "IOCMNG_LOG_LEVEL": "INFO",
    "IOCMNG_BEAMLINE_CONFIG": "/etc/epik8s-beamline.yaml",
    "IOCMNG_PLUGINS_CONFIG": "/data/site/plugins.yaml",
    "IOCMNG_PREFIX": "SPARC:CONTROL",
    "IOCMNG_CONFIG": "",
    "IOCMNG_HOST": "0.0.0.0",
    "IOCMNG_DISABLE_OPHYD": "true",
    "IOCMNG_PVA": "true",
    "IOCMNG_ENABLE_SOFTIOC": "true",
    # ---
    "IOCMNG_ALLOW_UNAUTHENTICATED": "true",
    "IOCMNG_CORS_ORIGINS": DASHBOARD,
    "IOCMNG_LOCAL_ROOTS": "/data",
    "IOCMNG_PVLIST_DIR": "/data/lists",
}

KEYS = {
    *("name", "status", "running", "validation", "class_name", "branch", "path", "git_url", "plugin_prefix"),
    *("pv_prefix", "mode", "start_parameters", "parameters", "base_control_pvs", "pv_definitions", "built_pvs"),
    *("auto_start", "auto_start_on_boot", "autostart_order", "arguments", "plugin_type", "cycle_count"),
    *("additional_input_pvs", "additional_output_pvs"),
}


def leave_behind(root) -> None:
    """Write what 2.7.9 has left on the volume, and what the site mounts."""
    make_repository(
        root / "data/repository",
        {"pump/water_pump.py": PUMP, "pump/config.yaml": PUMP_CONFIG, "survey/survey.py": SURVEY},
    )
    entry = {
        "name": "water-pump", "git_url": "/data/repository", "local_path": None, "path": "pump", "branch": "main",
        "pat": None, "auto_start": True, "auto_start_on_boot": True, "autostart_order": 1,
        "parameters": {"interval": 0.2},
    }  # fmt: skip
    staged = {
        "name": "survey", "git_url": "/data/repository", "local_path": None, "source_path": "survey",
        "branch": "main", "plugin_type": "job", "class_name": "Survey", "auto_start": False,
        "auto_start_on_boot": False, "autostart_order": None,
    }  # fmt: skip
    files = {
        "data/plugins/autostart_plugins.yaml": yaml.safe_dump({"plugins": [entry]}),
        "data/plugins/survey/.iocmng-plugin.json": json.dumps(staged),
        "data/site/plugins.yaml": "plugins:\n  - {name: valve, path: valve, branch: main, auto_start: true}\n",
        "data/site/valve/valve.py": VALVE,
        "data/site/valve/config.yaml": PUMP_CONFIG,
        "etc/epik8s-beamline.yaml": "beamline: sparc\nnamespace: sparc\nepicsConfiguration: {iocs: []}\n",
    }
    write_files(root, files)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server that was started as the chart starts it; it must end in good order, and soon."""
    root = tmp_path_factory.mktemp("pod")
    leave_behind(root)
    site = OldSite(root, "env | grep IOCMNG;iocmng-server", ENVIRONMENT)
    try:
        site.wait_until_ready()
        yield site
        began = time.monotonic()
        site.end(b"iocmng-server")
        assert time.monotonic() - began < 15
        assert "iocmng ends" in site.log.read_text()
    finally:
        site.kill()


def test_the_server_of_a_chart(site):
    """The chart's `start` serves on 8080 what 2.x left on the volume and what plugins.yaml says, by the old names."""
    assert "IOCMNG_PREFIX=SPARC:CONTROL" in site.log.read_text()
    status, _, health = site.call("GET", "/api/v1/health")
    assert (status, health["status"], health["tasks_count"], health["jobs_count"]) == (200, "ok", 2, 1)
    assert health["version"]
    for name in ("WATER-PUMP", "WATER_PUMP", "VALVE"):
        wait_for(lambda name=name: site.caget(f"SPARC:CONTROL:{name}:STATUS") == "RUN", f"{name} runs")
    assert site.caget("SPARC:CONTROL:SURVEY:STATUS") == "IDLE"
    lists = site.log.parent / "data/lists"
    wait_for(lambda: {place.name for place in lists.glob("*")} == {"water-pump", "valve", "survey"}, "the PV lists")
    names = (lists / "water-pump/pvlist.txt").read_text().splitlines()
    assert "SPARC:CONTROL:WATER-PUMP:RESETS" in names


def test_the_dashboard_finds_its_keys(site):
    """Every call of it is answered to a page of another origin, without a token, with the keys that it reads."""
    for collection, count in (("tasks", 2), ("jobs", 1)):
        status, headers, body = site.call("GET", f"/api/v1/{collection}", origin=DASHBOARD)
        assert (status, len(body["plugins"])) == (200, count)
        assert headers["access-control-allow-origin"] == DASHBOARD
        for plugin in body["plugins"]:
            assert plugin.keys() >= KEYS
            assert plugin["status"] in ("running", "loaded", "stopped")
            assert plugin["validation"]["errors"] == []
            assert site.call("GET", f"/api/v1/{collection}/{plugin['name']}/startup")[2].keys() >= KEYS
            assert site.call("GET", f"/api/v1/plugins/{plugin['name']}")[2].keys() >= KEYS
    pump = site.call("GET", "/api/v1/plugins/water-pump")[2]
    assert (pump["pv_prefix"], pump["start_parameters"]) == ("SPARC:CONTROL:WATER-PUMP", {"interval": 0.2})
    assert pump["pv_definitions"]["outputs"]["RESETS"].items() >= {("type", "int"), ("unit", "times")}
    assert {"ENABLE", "STATUS", "MESSAGE", "CYCLE_COUNT", "VERSION"} <= set(pump["base_control_pvs"])
    assert any(warning.startswith("input RESET") for warning in pump["validation"]["warnings"])
    assert any("NOTE.value: read as the text '0'" in warning for warning in pump["validation"]["warnings"])


def test_the_dashboard_does_what_it_did(site):
    """A job is run and its `result.message` read, a plugin restarted; a deploy that fails is told, and is no 404."""
    status, _, run = site.call("POST", "/api/v1/jobs/survey/run", origin=DASHBOARD)
    assert (status, run["ok"], run["result"]["message"]) == (200, True, "surveyed")
    status, _, done = site.call("POST", "/api/v1/plugins/valve/restart", origin=DASHBOARD)
    assert (status, done["ok"]) == (200, True)
    deploy = {"name": "new-one", "git_url": "", "path": "", "branch": "main", "auto_start": True}
    for body, expected in ((deploy, 422), ({**deploy, "name": "valve", "git_url": "/data/repository"}, 409)):
        status, _, problem = site.call("POST", "/api/v1/plugins", body, DASHBOARD)
        assert (status, problem["ok"], type(problem["detail"])) == (expected, False, str)
    assert site.call("GET", "/api/v1/devices")[0] == 200


def test_an_invalid_plugin_is_shown(site):
    """The dashboard puts the entries of validation.errors on the page as they are, so they are texts."""
    body = {"name": "broken", "git_url": "/data/repository", "path": "nowhere", "branch": "main"}
    assert site.call("POST", "/api/v1/tasks?wait=false", body, DASHBOARD)[0] == 202

    def shown():
        (plugin,) = (one for one in site.call("GET", "/api/v1/tasks")[2]["plugins"] if one["name"] == "broken")
        return plugin if plugin["status"] in ("invalid", "error") else None

    errors = wait_for(shown, "the plugin is shown with what is wrong")["validation"]["errors"]
    assert [type(error) for error in errors] == [str]
    assert "nowhere" in errors[0]
    assert site.call("DELETE", "/api/v1/plugins/broken", origin=DASHBOARD)[0] == 200


def test_a_reset_of_its_own(site):
    """An operator's button: the plugin sees RESET once, by either of its names, and it returns to 0."""
    for name, resets in (("WATER-PUMP", "1"), ("WATER_PUMP", "2")):
        site.caput(f"SPARC:CONTROL:{name}:RESET", 1)
        wait_for(lambda resets=resets: site.caget("SPARC:CONTROL:WATER-PUMP:RESETS") == resets, "the plugin saw it")
        wait_for(lambda name=name: site.caget(f"SPARC:CONTROL:{name}:RESET", "-n") == "0", "RESET is 0 again")


def test_two_plugins_never_serve_the_same_name(site):
    """What would have the name that another one has with underscores is refused, and the answer says what to do."""
    body = {"name": "water_pump", "git_url": "/data/repository", "path": "pump", "branch": "main"}
    status, _, problem = site.call("POST", "/api/v1/plugins", body, DASHBOARD)
    assert status == 422
    assert "is served by plugin water-pump already" in problem["detail"]
    assert "IOCMNG_UNDERSCORE_ALIASES=false" in problem["detail"]
