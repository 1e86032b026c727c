"""The options of `iocmng run` and of its older spelling `iocmng-run`, and what the process is like."""

import subprocess
import sys
from pathlib import Path

import pytest
from ioc_process import RUN_ALIAS, Ioc
from support import write_files

from iocmng import __version__

pytestmark = pytest.mark.thorough

PLUGIN = """\
from iocmng import TaskBase
from neighbour import GREETING

class Speaker(TaskBase):
    def initialize(self):
        self.logger.debug("a line for those who debug")
        self.set_pv("NAME", self.name)
        self.set_pv("PREFIX", self.pv_prefix)
        self.set_message(f"{GREETING} {type(self).__name__}")

    def execute(self):
        pass

    def cleanup(self):
        pass
"""
SECOND_CLASS = PLUGIN.replace("class Speaker", "class Whisperer").replace("{GREETING}", "(whispering)")
CONFIG = "pvs:\n  outputs:\n    NAME: {type: string}\n    PREFIX: {type: string}\n"
NEIGHBOUR = 'GREETING = "hello"\n'
BUILT_IN = ("ENABLE", "STATUS", "MESSAGE", "VERSION", "CYCLE_COUNT", "CLEAR", "RESET", "HEARTBEAT", "UPTIME")


def test_name_config_and_pvout(start, tmp_path):
    """--name is the plugin's name, --config lies elsewhere, --pvout gets exactly the PV names, one a line.

    --param lays a parameter over those of config.yaml, and its value is read as there.
    """
    files = {"plugin/speaker.py": PLUGIN, "plugin/neighbour.py": NEIGHBOUR, "elsewhere/other.yaml": CONFIG}
    write_files(tmp_path, files)
    options = ("--name", "loud-one", "--config", tmp_path / "elsewhere/other.yaml", "--pvout", tmp_path / "pvs.txt")
    options += ("--param", "version=9.9")
    ioc = start(tmp_path / "plugin", *options).wait_until_serving()
    ioc.wait_value("MESSAGE", "hello Speaker")
    assert ioc.get_all("NAME", "PREFIX", "VERSION") == ["loud-one", ioc.prefix, "9.9"]
    names = (tmp_path / "pvs.txt").read_text().splitlines()
    assert sorted(names) == sorted(ioc.pv(name) for name in (*BUILT_IN, "NAME", "PREFIX"))
    assert "a line for those who debug" not in ioc.output()
    assert ioc.stop() == 0


def test_alias_with_all_options(start, tmp_path):
    """`iocmng-run` takes module, class, config, prefix, name, pva, log level and pvout, as sites call it."""
    files = {"src/speaker.py": PLUGIN + SECOND_CLASS, "src/neighbour.py": NEIGHBOUR, "config.yaml": CONFIG}
    write_files(tmp_path, files)
    options = "-m src.speaker -c Whisperer --config config.yaml --name old-hand --pva false --log-level DEBUG"
    options += " --pvout pvlist.txt"
    ioc = start(None, *options.split(), command=RUN_ALIAS, cwd=tmp_path).wait_until_serving()
    ioc.wait_value("MESSAGE", "(whispering) Whisperer")
    assert ioc.get_all("NAME", "PREFIX") == ["old-hand", ioc.prefix]
    assert "a line for those who debug" in ioc.output()
    assert set((tmp_path / "pvlist.txt").read_text().split()) == {
        ioc.pv(name) for name in (*BUILT_IN, "NAME", "PREFIX")
    }
    assert ioc.stop() == 0


def test_alias_with_config_alone(start, tmp_path):
    """`iocmng-run --config FILE`, as launchers call it, finds the one class beside the file and takes its name."""
    script = Path(sys.executable).with_name("iocmng-run")
    write_files(tmp_path / "mine", {"speaker.py": PLUGIN, "neighbour.py": NEIGHBOUR, "config.yaml": CONFIG})
    ioc = start(None, "--config", "mine/config.yaml", command=[script], cwd=tmp_path).wait_until_serving()
    ioc.wait_value("NAME", "speaker")
    assert ioc.stop() == 0


@pytest.mark.parametrize("command", [[sys.executable, "-m", "iocmng"], [Path(sys.executable).with_name("iocmng")]])
def test_version(command):
    """`iocmng version` prints the version on stdout and nothing else."""
    done = subprocess.run([*command, "version"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_the_process_is_small_and_has_no_ray(puppet: Ioc):
    """`iocmng run` never loads Ray, stays far below the 256 MiB of a pod, and locks no memory, root or not."""
    assert puppet.get("HAS_RAY") == "ray False"
    maps = Path(f"/proc/{puppet.pid}/maps").read_text()
    assert "/ray/" not in maps
    assert "pvxs" in maps
    assert puppet.status_field("VmHWM") < 256 * 1024
    assert puppet.status_field("VmLck") == 0


def test_alias_looks_only_into_the_module_that_it_is_given(start, tmp_path):
    """A directory may hold several plugins: -m names the one to run."""
    other = SECOND_CLASS.replace("class Whisperer", "class Stranger")
    files = {"speaker.py": PLUGIN, "other.py": other, "neighbour.py": NEIGHBOUR, "config.yaml": CONFIG}
    write_files(tmp_path, files)
    ioc = start(None, "-m", "speaker", command=RUN_ALIAS, cwd=tmp_path).wait_until_serving()
    ioc.wait_value("MESSAGE", "hello Speaker")
    assert ioc.stop() == 0


def test_a_schedule_is_told_of(start, tmp_path):
    """A job with a schedule waits for RUN here, and a line says so."""
    job = PLUGIN.replace("TaskBase", "JobBase").replace("    def cleanup(self):\n        pass\n", "")
    config = CONFIG + 'schedule: "*/5 * * * *"\n'
    write_files(tmp_path / "job", {"speaker.py": job, "neighbour.py": NEIGHBOUR, "config.yaml": config})
    ioc = start(tmp_path / "job").wait_until_serving()
    assert "the schedule of config.yaml does nothing here" in ioc.output()
    assert ioc.stop() == 0
