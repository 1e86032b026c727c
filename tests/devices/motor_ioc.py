"""A simulated beamline: an IOC with motor records and a sensor, for the tests of devices.

    python motor_ioc.py PREFIX

serves PREFIX:M1 and PREFIX:M2 (motors) and PREFIX:AI1:AI_RB (a reading) until it is killed. EPICS Base has no motor
record, so caproto serves its fields; a put to VAL completes when the motor has arrived.
"""

from __future__ import annotations

import sys

from caproto.server import PVGroup, SubGroup, pvproperty, run

STEP = 0.02
"""Seconds between two readbacks."""


class Motor(PVGroup):
    """A motor of 50 mm/s between -100 and 100 mm."""

    position = pvproperty(value=0.0, name="", record="motor", precision=3)
    _is_free = True

    @position.startup
    async def position(self, instance, async_lib):
        """Set the fields that clients look at."""
        self._sleep = async_lib.library.sleep
        fields = instance.field_inst
        await fields.engineering_units.write("mm")
        await fields.velocity.write(50.0)
        await fields.max_velocity.write(50.0)
        await fields.seconds_to_velocity.write(0.01)
        for low, high in (
            (fields.user_low_limit, fields.user_high_limit),
            (fields.dial_low_limit, fields.dial_high_limit),
        ):
            await low.write(-100.0)
            await high.write(100.0)
        await fields.done_moving_to_value.write(1)

    @position.putter
    async def position(self, instance, value):
        """Move there; return when it has arrived, or was stopped."""
        fields = instance.field_inst
        await fields.stop.write(0)
        await fields.done_moving_to_value.write(0)
        await fields.motor_is_moving.write(1)
        at, stride = fields.user_readback_value.value, fields.velocity.value * STEP
        while at != value and not fields.stop.value:
            await self._sleep(STEP)
            at = min(at + stride, value) if value > at else max(at - stride, value)
            await fields.user_readback_value.write(at)
        await fields.motor_is_moving.write(0)
        await fields.done_moving_to_value.write(1)
        return at


class Beamline(PVGroup):
    """Two motors and a reading."""

    motor1 = SubGroup(Motor, prefix="M1")
    motor2 = SubGroup(Motor, prefix="M2")
    reading = pvproperty(value=3.5, name="AI1:AI_RB", precision=2)


if __name__ == "__main__":
    run(Beamline(prefix=f"{sys.argv[1]}:").pvdb, interfaces=["0.0.0.0"], log_pv_names=False)
