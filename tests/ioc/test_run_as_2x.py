"""`iocmng-run` as pods of 2.x call it, in start.sh: options, defaults, requirements, and what it leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ioc_process import RUN_ALIAS, Ioc, new_prefix
from support import LOOPBACK, wait_for, write_files

TASK = """\
from iocmng import TaskBase

class WaterPump(TaskBase):
    def initialize(self):
        self.set_pv("SEEN", repr(self.parameters.get("gain")) + repr(self.parameters.get("text")))

    def execute(self):
        pass

    def cleanup(self):
        pass
"""
JOB = """\
from iocmng import JobBase, JobResult

class Survey(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return JobResult(success=True, message=f"ran with {self.parameters.get('gain')}")
"""
CONFIG = "pvs: {inputs: {RESET: {type: bool}}, outputs: {SEEN: {type: string, value: 0}}}\n"


@pytest.fixture
def begin(tmp_path):
    """Return what starts iocmng-run without a prefix that the test makes, in a directory."""
    started: list[Ioc] = []

    def run(prefix: str, *options: str, cwd=tmp_path, **environment: str) -> Ioc:
        ioc = Ioc([*RUN_ALIAS, *options], prefix, tmp_path / f"{len(started)}.log", cwd, **environment)
        started.append(ioc)
        return ioc.wait_until_serving()

    yield run
    for ioc in started:
        ioc.kill()


def test_parameters_names_and_the_pv_list(begin, tmp_path):
    """Without --prefix and --name the PVs are named as in 2.x: PREFIX, and the class in upper case.

    -p gives numbers, truth values and texts; --pvout makes its directory and is sorted; old forms are told of.
    """
    write_files(tmp_path, {"water_pump.py": TASK, "config.yaml": CONFIG})
    site = new_prefix()
    options = ("-m", "water_pump", "--config", "config.yaml", "-p", "gain=2.5", "--param", "text=a=b")
    lists = tmp_path / "lists" / "pump" / "pvlist.txt"
    ioc = begin(f"{site}:WATERPUMP", *options, "--pvout", str(lists), IOCMNG_PREFIX=site)
    ioc.wait_value("SEEN", "2.5'a=b'")
    names = lists.read_text()
    assert names.splitlines() == sorted(names.splitlines())
    assert names.endswith("\n")
    assert f"{site}:WATERPUMP:SEEN" in names.splitlines()
    assert "warning: pvs.outputs.SEEN.value: read as the text '0'" in ioc.output()
    assert "warning: input RESET: every task has this PV by itself" in ioc.output()
    assert ioc.stop() == 0


def test_a_job_runs_once_at_the_start(begin, tmp_path):
    """And its IOC goes on, so that STATUS and MESSAGE can be read; RUN runs it again."""
    write_files(tmp_path, {"survey.py": JOB})
    prefix = new_prefix()
    ioc = begin(prefix, "-m", "survey", "-c", "Survey", "--prefix", prefix, "--log-level", "INFO", "-p", "gain=3")
    ioc.wait_value("MESSAGE", "ran with 3")
    ioc.wait_value("STATUS", "SUCCESS")
    assert ioc.stop() == 0


def test_a_declarative_task_needs_no_file(begin, tmp_path):
    """`--module iocmng.declarative --class-name DeclarativeTask` serves what config.yaml declares."""
    write_files(tmp_path, {"config.yaml": "pvs: {inputs: {LIMIT: {type: float, value: 4}}}\n"})
    prefix = new_prefix()
    words = "--module iocmng.declarative --class-name DeclarativeTask --config config.yaml --name x --pva true --prefix"
    ioc = begin(prefix, *words.split(), prefix)
    ioc.wait_value("LIMIT", "4")
    assert ioc.stop() == 0


def test_requirements_are_installed(begin, tmp_path):
    """The pip of start.sh does not reach our Python, so iocmng-run sees to requirements.txt, once for all starts."""
    package = {
        "plugin/dep/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
        '[project]\nname = "dep-of-2x"\nversion = "1"\n',
        "plugin/dep/b.py": BACKEND,
        "plugin/requirements.txt": "iocmng>=2.5.0\npyyaml>=6.0\n./dep\n",
        "plugin/water_pump.py": "import dep_of_2x\n" + TASK.replace('"text")', '"text") or dep_of_2x.WORD'),
        "plugin/config.yaml": CONFIG,
    }
    directory = write_files(tmp_path, package) / "plugin"
    for _ in range(2):
        prefix = new_prefix()
        ioc = begin(prefix, "--config", "config.yaml", "--prefix", prefix, cwd=directory)
        ioc.wait_value("SEEN", "None'hello'")
        assert ioc.stop() == 0
    stored = list((tmp_path / "state" / "run").glob("*"))
    assert len(stored) == 1


# Builds a wheel with one module, without the network.
BACKEND = """\
import zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "dep_of_2x-1-py3-none-any.whl"
    info = "dep_of_2x-1.dist-info/"
    files = {
        "dep_of_2x.py": "WORD = 'hello'\\n",
        info + "METADATA": "Metadata-Version: 2.1\\nName: dep-of-2x\\nVersion: 1\\n",
        info + "WHEEL": "Wheel-Version: 1.0\\nGenerator: b\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[info + "RECORD"] = "".join(f"{file},,\\n" for file in [*files, info + "RECORD"])
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return name
"""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-m", "absent"), "there is no module absent in"),
        (("-m", "water_pump", "-p", "gain"), "--param 'gain' must be of the form KEY=VALUE"),
        (("-c", "X"), "give --module, or --config"),
    ],
)
def test_a_wrong_call_is_one_sentence(tmp_path, options, words):
    """Status 2, and a sentence that says what to give."""
    write_files(tmp_path, {"water_pump.py": TASK})
    done = subprocess.run(
        [*RUN_ALIAS, *options],
        cwd=tmp_path,
        env=os.environ | LOOPBACK,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_launcher_of_the_dashboard(tmp_path):
    """start.sh as it is generated ends with `exec iocmng-run --config config.yaml`, with whatever pip there is."""
    directory = write_files(tmp_path / "water-pump", {"water_pump.py": TASK, "config.yaml": CONFIG})
    site = new_prefix()
    script = directory / "start.sh"
    script.write_text(
        f"#!/bin/bash\nset -e\ncd {directory}\nif [ -f requirements.txt ]; then\n"
        "    pip install --quiet -r requirements.txt 2>/dev/null || true\nfi\nexec iocmng-run --config config.yaml\n"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    log = tmp_path / "log"
    command = ["sh", "-c", f"exec bash {script}"]
    ioc = Ioc(command, f"{site}:WATERPUMP", log, IOCMNG_PREFIX=site, PATH=path).wait_until_serving()
    try:
        wait_for(lambda: ioc.get("STATUS") == "RUN", "the task runs")
        assert ioc.stop() == 0
    finally:
        ioc.kill()
