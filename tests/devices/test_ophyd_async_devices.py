"""ophyd-async devices: they live in an event loop of their own, and author's code need not have one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from beamline import MotorIoc, table
from support import wait_for

from iocmng.core.devices import DeviceWish
from iocmng.errors import AuthorError, TimedOut
from iocmng.ophyd import OphydDevices

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("channel_access")]

PATIENCE = 20.0


@pytest.fixture
def devices(motors: MotorIoc) -> OphydDevices:
    """A new process's devices, as far as they know."""
    return OphydDevices(table(motors.prefix), PATIENCE)


def test_a_motor(devices: OphydDevices) -> None:
    """A class path is enough: the device is connected, moves, and can be read, all from a plain function."""
    motor = devices.get("asynchronous_M1", None)
    assert type(motor).__module__ == "ophyd_async.epics.motor"
    devices.run_async(lambda: motor.set(6.0), PATIENCE)
    assert devices.run_async(motor.user_readback.get_value(), PATIENCE) == 6.0

    async def back_and_forth() -> float:
        await motor.set(2.0)
        await motor.set(3.0)
        return await motor.user_readback.get_value()

    assert devices.run_async(back_and_forth(), PATIENCE) == 3.0


def test_a_move_out_of_reach(devices: OphydDevices) -> None:
    """What the device raises, the author's code gets."""
    from ophyd_async.epics.motor import MotorLimitsError

    motor = devices.get("asynchronous_M1", None)
    with pytest.raises(MotorLimitsError):
        devices.run_async(lambda: motor.set(1000.0), PATIENCE)


def test_an_ioc_that_is_silent_for_async() -> None:
    """connect() ends within its time, and names device, IOC and PVs."""
    devices = OphydDevices(table("NOWHERE:AT-ALL"), 0.3)
    began = time.monotonic()
    with pytest.raises(
        TimedOut, match=r"device asynchronous_M1 \(PVs NOWHERE:AT-ALL:M1…, IOC asynchronous\)"
    ) as caught:
        devices.get("asynchronous_M1", None)
    assert time.monotonic() - began < 5
    assert "NOWHERE:AT-ALL:M1." in caught.value.message
    assert "\n" not in caught.value.message


def test_an_async_ioc_that_answers_later(later: MotorIoc) -> None:
    """The next call connects the same device once its IOC is up."""
    devices = OphydDevices(table(later.prefix), PATIENCE)
    with pytest.raises(TimedOut):
        devices.get("asynchronous_M1", 0.2)
    later.start()
    motor = devices.get("asynchronous_M1", None)
    assert devices.run_async(motor.motor_egu.get_value(), PATIENCE) == "mm"
    assert len(devices.created()) == 1


def test_an_async_ioc_that_is_restarted(later: MotorIoc) -> None:
    """The same object works again once its IOC is back."""
    later.start()
    devices = OphydDevices(table(later.prefix), PATIENCE)
    motor = devices.get("asynchronous_M1", None)
    later.stop()

    def is_away() -> bool:
        try:
            devices.run_async(motor.user_readback.get_value(), 1)
        except Exception:  # noqa: BLE001  which one depends on how soon after the loss it is asked
            return True
        return False

    wait_for(is_away, "the motor has lost its IOC")
    later.start()

    def has_moved() -> bool:
        with contextlib.suppress(Exception):
            devices.run_async(lambda: motor.set(2.0), 5)
            return True
        return False

    wait_for(has_moved, "the motor moves again", 40)
    assert devices.run_async(motor.user_readback.get_value(), PATIENCE) == 2.0


def test_an_ioc_that_answers_otherwise(devices: OphydDevices, motors: MotorIoc) -> None:
    """A PV of another type than the class expects is no time-out: the error names signal and types."""

    def wrong(prefix: str, name: str):
        from ophyd_async.core import Device
        from ophyd_async.epics.core import epics_signal_r

        class Wrong(Device):
            def __init__(self) -> None:
                self.unit = epics_signal_r(int, f"{prefix}.EGU")
                super().__init__(name=name)

        return Wrong()

    with pytest.raises(AuthorError, match=r"device w .*cannot be connected: unit: .*M1\.EGU"):
        devices.create(DeviceWish(f"{motors.prefix}:M1", name="w", device_class=wrong), None, True)


def test_a_call_that_takes_too_long(devices: OphydDevices) -> None:
    """It is cancelled, so that nothing goes on behind the author's back."""
    ended = threading.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimedOut, match=r"longer than 0\.05 s and was cancelled"):
        devices.run_async(for_ever(), 0.05)
    assert ended.wait(5)


def test_its_own_time_out_is_told_apart(devices: OphydDevices) -> None:
    """A TimeoutError of the author's own coroutine comes out as it is."""

    async def impatient() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        devices.run_async(impatient(), PATIENCE)


def test_inside_the_loop(devices: OphydDevices) -> None:
    """run_async() inside the loop would wait for ever, so it says to await instead."""

    async def nested() -> None:
        devices.run_async(asyncio.sleep(0), None)

    with pytest.raises(AuthorError, match="use `await` there"):
        devices.run_async(nested(), PATIENCE)
