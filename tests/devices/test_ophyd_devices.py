"""ophyd devices on a simulated beamline: made by infn_ophyd_hal or from a class, connected, moved."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time

import pytest
from beamline import MotorIoc, table, values
from support import wait_for

from iocmng.core.beamline_devices import read_devices
from iocmng.core.devices import DeviceTable, DeviceWish
from iocmng.errors import AuthorError, TimedOut
from iocmng.ophyd import OphydDevices, device_provider

pytestmark = pytest.mark.usefixtures("channel_access")

PATIENCE = 20.0
"""Seconds to connect on a machine where everybody tests at once."""


@pytest.fixture
def devices(motors: MotorIoc) -> OphydDevices:
    """A new process's devices, as far as they know."""
    return OphydDevices(table(motors.prefix), PATIENCE)


def test_off_and_on() -> None:
    """There is a provider where devices are switched on, with or without a values.yaml."""
    assert device_provider(DeviceTable(), 1.0) is None
    provider = device_provider(read_devices({}), 1.0)
    assert provider is not None
    assert (provider.names(), provider.get("M1", None), provider.created()) == ([], None, ())


def test_a_motor_of_infn_ophyd_hal(devices: OphydDevices) -> None:
    """The words devgroup and devtype choose infn_ophyd_hal's class, which has the device's entry; the motor moves."""
    motor = devices.get("M1", None)
    assert type(motor).__name__ == "OphydAsynMotor"
    assert motor.poi == [{"name": "YAG", "pos": 7.5}]
    motor.move(4.0, wait=True, timeout=PATIENCE)
    assert motor.position == 4.0
    assert devices.get("M1", None) is motor


def test_a_reading_of_infn_ophyd_hal(devices: OphydDevices) -> None:
    """A device without motion works the same way; its constructor gives the PV one second, and may be called again."""

    def value() -> float | None:
        with contextlib.suppress(TimedOut):
            return devices.get("AI1", None).get()
        return None

    assert wait_for(value, "the sensor answers") == 3.5


def test_a_class_by_its_path(devices: OphydDevices) -> None:
    """`class` takes any class, with `parameters` as its keyword arguments."""
    motor = devices.get("M2", None)
    assert (type(motor).__name__, motor.name, motor.settle_time) == ("EpicsMotor", "M2", 0.01)
    assert motor.move(-3.0, wait=True, timeout=PATIENCE).success
    assert motor.egu == "mm"


def test_devices_of_the_authors_own(devices: OphydDevices, motors: MotorIoc) -> None:
    """create_device() needs no values.yaml: a prefix and what it is, as a class, its path, or in words."""
    from ophyd import EpicsMotor

    prefix = f"{motors.prefix}:M2"
    motor = devices.create(DeviceWish(prefix, name="mine", device_class=EpicsMotor), None, True)
    assert (type(motor), motor.name) == (EpicsMotor, "mine")
    assert devices.get("mine", None) is motor
    signal = DeviceWish(f"{prefix}.EGU", name="unit", device_class="ophyd.EpicsSignalRO", parameters={"string": True})
    assert devices.create(signal, None, True).get() == "mm"
    in_words = devices.create(DeviceWish(prefix, "mot", "asyn"), None, False)
    assert type(in_words).__name__ == "OphydAsynMotor"
    assert "mine" in devices.names()
    created = {device.name: (device.prefix, device.class_name) for device in devices.created()}
    assert created["mine"] == (prefix, "ophyd.epics_motor.EpicsMotor")
    assert set(created) == {"mine", "unit"}


def test_another_thread_may_use_them(devices: OphydDevices) -> None:
    """A thread that the author has started moves a device that another one has made."""
    motor = devices.get("M2", None)
    moved: list[float] = []
    thread = threading.Thread(target=lambda: moved.append(motor.move(1.0, wait=True, timeout=PATIENCE).pos.position))
    thread.start()
    thread.join(PATIENCE)
    assert moved == [1.0]


def test_a_device_that_nobody_knows(devices: OphydDevices) -> None:
    """get_device() knows nothing of it and returns None; create_device() says what could have been given."""
    assert devices.get("M7", None) is None
    with pytest.raises(AuthorError, match=r"no device 'M7'.*devgroup and devtype"):
        devices.create(DeviceWish("M7"), None, True)


def test_one_name_means_one_device(devices: OphydDevices, motors: MotorIoc) -> None:
    """A name that is taken is not given to another device in silence."""
    devices.get("M2", None)
    other = DeviceWish(f"{motors.prefix}:M1", name="M2", device_class="ophyd.EpicsMotor")
    with pytest.raises(AuthorError, match=r"device M2 .* was made already, from another description"):
        devices.create(other, None, True)


def test_an_ioc_that_does_not_answer() -> None:
    """The call ends within its time, and names device, IOC and PVs."""
    devices = OphydDevices(table("NOWHERE:AT-ALL"), 0.3)
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"device M2 \(PVs NOWHERE:AT-ALL:M2…, IOC by-class\) did not connect") as caught:
        devices.get("M2", None)
    assert time.monotonic() - began < 5
    assert "NOWHERE:AT-ALL:M2.RBV" in caught.value.message
    assert "more do not answer; is its IOC up, and in reach" in caught.value.message


def test_a_class_that_waits_for_its_ioc() -> None:
    """infn_ophyd_hal's own waiting ends in the same kind of error; its factory would only log it."""
    with pytest.raises(TimedOut, match=r"device AI1 \(PVs NOWHERE:AT-ALL:AI1…, IOC sim-sensors\).*AI1:AI_RB"):
        OphydDevices(table("NOWHERE:AT-ALL"), 0.3).get("AI1", None)


def test_a_class_that_waits_in_vain_leaves_nothing() -> None:
    """A task may ask for such a device in every cycle: what its constructor has left behind is let go of."""
    devices = OphydDevices(table("NOWHERE:AT-ALL"), 0.1)
    for _ in range(2):
        with pytest.raises(TimedOut):
            devices.get("AI1", None)
    gc.collect()
    left = [thing for thing in gc.get_objects() if type(thing).__name__ == "OphydAI"]
    assert [device.prefix for device in left if device.prefix == "NOWHERE:AT-ALL:AI1"] == []


def test_an_ioc_that_answers_later(later: MotorIoc) -> None:
    """A device that did not connect is kept, and the next call finds it connected once its IOC is up."""
    devices = OphydDevices(table(later.prefix), PATIENCE)
    early = devices.get("M2", 0)
    assert not early.connected
    with pytest.raises(TimedOut):
        devices.get("M2", 0.2)
    later.start()
    assert devices.get("M2", None) is early
    assert early.connected


def test_an_ioc_that_is_restarted(later: MotorIoc) -> None:
    """While it is away, the call says so; afterwards the same object is connected again, and moves."""
    later.start()
    devices = OphydDevices(table(later.prefix), PATIENCE)
    motor = devices.get("M2", None)
    later.stop()
    wait_for(lambda: not motor.connected, "the motor has lost its IOC")
    with pytest.raises(TimedOut, match=r"device M2 .* did not connect"):
        devices.get("M2", 0.2)
    assert devices.get("M2", 0) is motor
    later.start()
    assert devices.get("M2", None) is motor
    assert motor.move(2.0, wait=True, timeout=PATIENCE).success


def test_a_package_that_is_missing(devices: OphydDevices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without infn_ophyd_hal, or a class's own package, the error says what to install."""
    for name in ("infn_ophyd_hal", "infn_ophyd_hal.device_factory"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        AuthorError, match=r"device M1 .*infn_ophyd_hal\S* is not installed.*pip install iocmng\[ophyd\]"
    ):
        devices.get("M1", None)
    with pytest.raises(AuthorError, match=r"module no_such_package is not installed.*requirements\.txt"):
        devices.create(DeviceWish("X:Y", device_class="no_such_package.Motor"), None, True)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            DeviceWish("X:M", device_class="ophyd.EpicsMotr"),
            "module ophyd has no class EpicsMotr; did you mean EpicsMotor",
        ),
        (DeviceWish("X:M", device_class="EpicsMotor"), "is no dotted path such as package.module.Class"),
        (DeviceWish("X:M", "vac", "rare"), "of vac it has ipcmini, sim, tpg300"),
        (
            DeviceWish("X:M", "cam", "basler"),
            "devgroup 'cam' and devtype 'basler'; its groups are diag, io, mag, mot, vac",
        ),
        (DeviceWish("X:M", device_class="ophyd.EpicsMotor", parameters={"colour": 1}), "TypeError: .*colour"),
    ],
    ids=["misspelt class", "no path", "no such type", "no such group", "wrong argument"],
)
def test_what_cannot_be_made(devices: OphydDevices, wish: DeviceWish, words: str) -> None:
    """A class that is not there, or refuses, is an error that names the device and what to do."""
    with pytest.raises(AuthorError, match=f"device M \\(PVs X:M…\\) cannot be made: .*{words}"):
        devices.create(wish, None, True)
    assert devices.created() == ()


def test_a_class_that_fails_to_connect(devices: OphydDevices) -> None:
    """What a class of the author's raises while it connects is told with the device's name."""

    class Odd:
        def __init__(self, prefix: str) -> None:
            self.prefix = prefix

        def wait_for_connection(self) -> None:
            """Take no time-out."""

    with pytest.raises(AuthorError, match=r"device odd .* cannot be connected: TypeError"):
        devices.create(DeviceWish("X:Y", name="odd", device_class=Odd), None, True)


def test_simulations_need_no_ioc() -> None:
    """A class of infn_ophyd_hal that only simulates is made as it is."""
    beamline = values("NOWHERE:AT-ALL")
    beamline["epicsConfiguration"]["iocs"][0]["devtype"] = "sim"
    motor = OphydDevices(read_devices(beamline), 0.1).get("M1", None)
    motor.move(2.5)
    assert motor.position == 2.5
