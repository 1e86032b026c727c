"""Devices on a real server: from its values.yaml into the process of a plugin, and back into GET /devices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from beamline import MotorIoc, write_values
from support import Server, caget, caput, wait_for

pytestmark = pytest.mark.slow

MOVER = {file.name: file.read_text() for file in (Path(__file__).with_name("plugins") / "mover").glob("*.*")}


@pytest.fixture
def device_server(tmp_path: Path, motors: MotorIoc) -> Iterator[Server]:
    """A server of this beamline."""
    server = Server(
        tmp_path,
        f"DEVSRV-{os.getpid()}",
        IOCMNG_DISABLE_OPHYD="false",
        IOCMNG_BEAMLINE_CONFIG=str(write_values(tmp_path / "values.yaml", motors.prefix)),
    ).wait_until_ready()
    yield server
    assert server.stop() == 0, server.log.read_text()


def test_a_plugin_on_a_server_moves_a_motor(device_server: Server, motors: MotorIoc) -> None:
    """GET /devices lists what values.yaml describes, and the plugin beside the motor that it has moved."""
    shown = device_server.http.get("/devices").json()
    assert (shown["enabled"], shown["count"], shown["created"]) == (True, 5, [])
    assert shown["problems"] == [
        "device M1 of IOC asynchronous has the name of one of IOC sim-motors; it is called asynchronous_M1"
    ]

    assert device_server.add("mover", MOVER).status_code == 201
    pvs = f"{device_server.prefix}:MOVER"
    caput(f"{pvs}:TARGET", 4)
    caput(f"{pvs}:RUN", 1)
    wait_for(lambda: caget(f"{pvs}:POSITION") == "4", "the motor has moved", 40)
    assert caget(f"{motors.prefix}:M1.RBV") == "4"

    def makers() -> dict[str, list[str]]:
        return {row["name"]: row["created_by"] for row in device_server.http.get("/devices").json()["devices"]}

    wait_for(lambda: makers()["M1"] == ["mover"], "the device is shown as made")
    assert device_server.get("mover")["devices"] == [
        {
            "name": "M1",
            "prefix": f"{motors.prefix}:M1",
            "class": "infn_ophyd_hal.asyn_ophyd_motor.OphydAsynMotor",
        }
    ]
    caput(f"{pvs}:DEVICE", "asynchronous_M1")
    caput(f"{pvs}:TARGET", 5)
    caput(f"{pvs}:RUN", 1)
    wait_for(lambda: caget(f"{pvs}:POSITION") == "5", "the motor has moved by ophyd-async", 40)
    wait_for(lambda: makers()["asynchronous_M1"] == ["mover"], "the device is shown as made")

    assert device_server.http.post("/plugins/mover/restart").status_code == 200
    assert makers()["M1"] == [], "the new process has made nothing yet"
    device_server.http.delete("/plugins/mover").raise_for_status()
