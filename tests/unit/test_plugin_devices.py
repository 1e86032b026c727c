"""What a plugin's base class does with devices, whoever makes them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from base_fakes import FakePvs, bound

from iocmng.base.board import StatusBoard
from iocmng.base.devices import PluginDevices
from iocmng.base.job import JobBase
from iocmng.core.devices import CreatedDevice, DeviceTable, DeviceWish
from iocmng.errors import AuthorError, TimedOut
from iocmng.settings import Settings


class Scan(JobBase):
    def initialize(self):
        pass

    def execute(self):
        pass


class FakeDevices:
    """Makes devices of text; the one named `silent` never answers."""

    def __init__(self) -> None:
        self.made: dict[str, CreatedDevice] = {}
        self.wishes: list[tuple[DeviceWish, float | None, bool]] = []

    def names(self) -> list[str]:
        return ["M1", "silent"]

    def get(self, name: str, timeout: float | None) -> Any:
        if name not in self.names():
            return None
        self.made[name] = CreatedDevice(name, f"X:{name}", "Text")
        if name == "silent":
            raise TimedOut("silent")
        return f"the device {name}"

    def create(self, wish: DeviceWish, timeout: float | None, keep: bool) -> Any:
        self.wishes.append((wish, timeout, keep))
        return f"a new {wish.prefix}"

    def created(self) -> tuple[CreatedDevice, ...]:
        return tuple(self.made.values())

    def run_async(self, call: Any, timeout: float | None) -> Any:
        return call


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
def board(told: list[bool]) -> StatusBoard:
    return StatusBoard(FakePvs(), frozenset(), told.append)


@pytest.fixture
def devices(board: StatusBoard) -> PluginDevices:
    return PluginDevices(FakeDevices(), board, logging.getLogger("iocmng.test.devices"))


def test_devices_switched_off_for_the_author() -> None:
    """Without a provider there is no device, no name, and making one says what to do."""
    job, *_ = bound(Scan)
    assert (job.get_device("M1"), job.list_devices()) == (None, [])
    with pytest.raises(AuthorError, match=r"'M1': ophyd devices are switched off.*IOCMNG_DISABLE_OPHYD=false"):
        job.create_device("X:M1", "mot", "asyn", name="M1")
    with pytest.raises(AuthorError, match=r"switched off"):
        job.run_async(lambda: None)


def test_made_devices_are_reported(devices: PluginDevices, board: StatusBoard, told: list[bool]) -> None:
    """The report names each device once it was made, also one that does not answer; nobody is told twice."""
    assert devices.get("M1", None) == "the device M1"
    devices.get("M1", None)
    assert told == [True]
    with pytest.raises(TimedOut):
        devices.get("silent", None)
    assert [device.name for device in board.report().devices] == ["M1", "silent"]


def test_an_unknown_name_is_logged_once(devices: PluginDevices, caplog: pytest.LogCaptureFixture) -> None:
    """None is what the author gets; the log says why, and not in every cycle."""
    with caplog.at_level("WARNING"):
        assert [devices.get("M2", None) for _ in range(3)] == [None, None, None]
        devices.get("Elsewhere", None)
    assert [record.getMessage() for record in caplog.records] == [
        "get_device('M2') is None: no device has this name; there are 2; list_devices() names them",
        "get_device('Elsewhere') is None: no device has this name; there are 2; list_devices() names them",
    ]


def test_create_device_takes_the_older_order_of_arguments() -> None:
    """Plugins that name prefix, devgroup, devtype, name and cache, in this order or by name, go on."""
    job, *_ = bound(Scan)
    fake = FakeDevices()
    object.__setattr__(job._runtime, "devices", PluginDevices(fake))
    assert job.create_device("X:M", "mot", "tml", "m", False) == "a new X:M"
    job.create_device(prefix="X:M", devgroup="mot", devtype="tml", name="m", cache=False)
    job.create_device("M1", device_class="own.Motor", parameters={"a": 1}, timeout=3)
    expected = DeviceWish("X:M", "mot", "tml", "m")
    assert fake.wishes[:2] == [(expected, None, False)] * 2
    assert fake.wishes[2] == (DeviceWish("M1", device_class="own.Motor", parameters={"a": 1}), 3, True)


def test_the_setting_decides() -> None:
    """The beamline's devices are read where they are switched on, and only there."""
    beamline = {"epicsConfiguration": {"iocs": {"m": {"devgroup": "mot", "iocprefix": "X", "devices": ["M1"]}}}}
    assert Settings(disable_ophyd=True).device_table(beamline) == DeviceTable()
    assert list(Settings(disable_ophyd=False).device_table(beamline).devices) == ["M1"]
