"""Devices in a plugin's real process: ophyd, ophyd-async and the soft IOC live in it side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from beamline import MotorIoc, values, write_values
from ioc_process import RUN, Ioc, new_prefix
from support import LOOPBACK, caget

pytestmark = pytest.mark.thorough

MOVER = Path(__file__).with_name("plugins") / "mover"

# What a site may have in its environment; pyepics brings this libca along.
FOREIGN_LIBCA = Path(str(find_spec("epics").origin)).parent / "clibs" / "linux64" / "libca.so"

Start = Callable[..., Ioc]


def move(ioc: Ioc, device: str, target: float) -> None:
    """Have the plugin move a device, and return when it is done."""
    ioc.put("DEVICE", device)
    ioc.put("TARGET", target)
    ioc.put("RUN", 1)
    ioc.wait_value("POSITION", f"{target:g}")


def test_devices_of_each_sort_in_one_process(start: Start, motors: MotorIoc, tmp_path: Path) -> None:
    """One process serves its PVs and moves motors by infn_ophyd_hal, ophyd and ophyd-async, all on the IOC's libca."""
    file = write_values(tmp_path / "values.yaml", motors.prefix)
    ioc = start(MOVER, file, PYEPICS_LIBCA=str(FOREIGN_LIBCA)).wait_until_serving()
    ioc.wait_value("KNOWN", "5")
    for device, target, record in (("M1", 3, "M1"), ("M2", -2, "M2"), ("asynchronous_M1", 5, "M1"), ("M1", 1, "M1")):
        move(ioc, device, target)
        assert caget(f"{motors.prefix}:{record}.RBV") == str(target)
    assert ioc.get("LIBCAS") == "1"
    assert ioc.get("MESSAGE") == "OphydAsynMotor is at 1"
    assert "device M1 of IOC asynchronous has the name of one of IOC sim-motors" in ioc.output()
    assert ioc.stop() == 0


def test_a_plugin_may_import_ophyd_itself(start: Start, motors: MotorIoc, tmp_path: Path) -> None:
    """An import at the head of the author's module does not bring a second libca into the process."""
    directory = Path(shutil.copytree(MOVER, tmp_path / "mover"))
    module = directory / "mover.py"
    module.write_text(f"import epics, ophyd\n{module.read_text()}")
    file = write_values(tmp_path / "values.yaml", motors.prefix)
    ioc = start(directory, file, PYEPICS_LIBCA=str(FOREIGN_LIBCA)).wait_until_serving()
    ioc.wait_value("KNOWN", "5")
    move(ioc, "M2", 2)
    assert ioc.get("LIBCAS") == "1"


def test_what_goes_wrong_is_seen(start: Start, motors: MotorIoc, tmp_path: Path) -> None:
    """A device of a silent IOC is a failed cycle with its name; an unknown one is None, and a line in the log."""
    file = write_values(tmp_path / "values.yaml", motors.prefix)
    ioc = start(MOVER, file, IOCMNG_DEVICE_TIMEOUT="0.2").wait_until_serving()
    ioc.wait_value("KNOWN", "5")
    ioc.put("DEVICE", "OFF1")
    ioc.put("RUN", 1)
    ioc.wait_value("STATUS", "ERROR")
    ioc.wait_for_line(f"device OFF1 (PVs {motors.prefix}:OFF:OFF1…, IOC off) did not connect within")
    ioc.put("DEVICE", "OFF2")
    ioc.put("RUN", 1)
    ioc.wait_value("MESSAGE", "there is no such device")
    ioc.wait_for_line("get_device('OFF2') is None: no device has this name; did you mean OFF1?")


def test_devices_switched_off_in_a_run(start: Start, motors: MotorIoc, tmp_path: Path) -> None:
    """With IOCMNG_DISABLE_OPHYD=true nothing is known, and nobody asks for the file."""
    ioc = start(MOVER, tmp_path / "nowhere.yaml", IOCMNG_DISABLE_OPHYD="true").wait_until_serving()
    ioc.wait_value("KNOWN", "0")
    ioc.put("RUN", 1)
    ioc.wait_value("MESSAGE", "there is no such device")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "values.yaml, line 2 is no valid YAML"),
        ("- a\n", "values.yaml must hold a mapping, not a list"),
        (None, "cannot read"),
    ],
    ids=["no YAML", "no mapping", "no file"],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None, words: str) -> None:
    """The run ends with a sentence that names the file."""
    file = tmp_path / "values.yaml"
    if text is not None:
        file.write_text(text)
    done = subprocess.run(
        [*RUN, MOVER, "--prefix", new_prefix()],
        env=os.environ
        | LOOPBACK
        | {
            "IOCMNG_DISABLE_OPHYD": "false",
            "IOCMNG_BEAMLINE_CONFIG": str(file),
            "IOCMNG_STATE_DIR": str(tmp_path / "state"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_in_the_file_costs_one_device(start: Start, motors: MotorIoc, tmp_path: Path) -> None:
    """What does not fit is named with file and place; the other devices are there."""
    beamline = values(motors.prefix)
    beamline["epicsConfiguration"]["iocs"][2]["devices"][0]["class"] = "EpicsMotor"
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(beamline))
    ioc = start(MOVER, file).wait_until_serving()
    ioc.wait_value("KNOWN", "4")
    assert f"{file}: epicsConfiguration.iocs[by-class].devices[M2].class must be a dotted path" in ioc.output()
    move(ioc, "M1", 2)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """The room itself loads none of the libraries, so a plugin without devices pays nothing for them."""
    heavy = ("ophyd", "ophyd_async", "infn_ophyd_hal", "epics", "aioca", "bluesky")
    script = f"import sys, iocmng.ophyd.provider\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("before", "seconds"), [("", 3.5), ("import ophyd\n", 1.0)], ids=["ours", "the author's"])
def test_how_long_a_constructor_waits(before: str, seconds: float) -> None:
    """It is the site's time, unless the author has imported ophyd and so may have set it."""
    script = f"""\
{before}
from iocmng.core.devices import DeviceTable, DeviceWish
from iocmng.ophyd import device_provider

wish = DeviceWish("NOWHERE:X", device_class="ophyd.EpicsSignalRO")
print(device_provider(DeviceTable(True), 3.5).create(wish, 0, True)._connection_timeout)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == str(seconds)
