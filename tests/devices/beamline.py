"""A simulated beamline in a process of its own, and the values.yaml that describes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from support import LOOPBACK, caget, wait_for

from iocmng.core.beamline_devices import read_devices
from iocmng.core.devices import DeviceTable

SERVER_ON_LOOPBACK = LOOPBACK | {
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.255.255.255",
}


class MotorIoc:
    """The IOC of motor_ioc.py; serving once wait_until_serving() has returned."""

    def __init__(self, prefix: str, log: Path) -> None:
        self.prefix = prefix
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("motor_ioc.py"), prefix],
                env=os.environ | SERVER_ON_LOOPBACK,
                stdout=output,
                stderr=output,
            )

    def wait_until_serving(self) -> MotorIoc:
        """Return when its motors answer."""

        def answers() -> bool:
            assert self._process.poll() is None, self._log.read_text()
            return caget(f"{self.prefix}:M2.DMOV") == "1"

        wait_for(answers, f"motors of {self.prefix}", 40)
        return self

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def values(prefix: str) -> dict[str, Any]:
    """Return the contents of a values.yaml with devices of each sort, at the PVs of this prefix."""
    return {
        "beamline": "sim",
        "iocDefaults": {"motor": {"devgroup": "mot", "devtype": "asyn", "resources": {"limits": {"cpu": "500m"}}}},
        "epicsConfiguration": {
            "iocs": [
                {
                    "name": "sim-motors",
                    "template": "motor",
                    "iocprefix": prefix,
                    "zones": ["HALL"],
                    "devices": [{"name": "M1", "poi": [{"name": "YAG", "pos": 7.5}]}],
                },
                {"name": "sim-sensors", "devgroup": "io", "devtype": "ai", "iocprefix": prefix, "devices": ["AI1"]},
                {
                    "name": "by-class",
                    "iocprefix": prefix,
                    "devices": [{"name": "M2", "class": "ophyd.EpicsMotor", "parameters": {"settle_time": 0.01}}],
                },
                {
                    "name": "asynchronous",
                    "iocprefix": prefix.rpartition(":")[0],
                    "iocroot": prefix.rpartition(":")[2],
                    "class": "ophyd_async.epics.motor.Motor",
                    "devices": [{"name": "M1", "class": "ophyd_async.epics.motor.Motor"}],
                },
                {"name": "off", "iocprefix": f"{prefix}:OFF", "devgroup": "mot", "devices": ["OFF1"]},
            ]
        },
    }


def table(prefix: str) -> DeviceTable:
    """Return the table of these devices."""
    return read_devices(values(prefix))


def write_values(file: Path, prefix: str) -> Path:
    """Write the values.yaml."""
    file.write_text(yaml.safe_dump(values(prefix)), encoding="utf-8")
    return file
