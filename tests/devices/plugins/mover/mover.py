"""Moves the device named by DEVICE to TARGET, and counts the libcas that its process has loaded."""

from pathlib import Path

from iocmng import TaskBase


class Mover(TaskBase):
    def initialize(self):
        self.set_pv("KNOWN", len(self.list_devices()))

    def execute(self):
        target, motor = self.get_pv("TARGET"), self.get_device(self.get_pv("DEVICE"))
        if motor is None:
            self.set_message("there is no such device")
            return
        if hasattr(motor, "connect"):
            self.run_async(lambda: motor.set(target), timeout=20)
            position = self.run_async(motor.user_readback.get_value(), timeout=5)
        else:
            motor.move(target, wait=True, timeout=20)
            position = motor.position
        self.set_pv("POSITION", position)
        maps = Path("/proc/self/maps").read_text().splitlines()
        self.set_pv("LIBCAS", len({line.split()[-1] for line in maps if "/libca.so" in line}))
        self.set_message(f"{type(motor).__name__} is at {position:g}")

    def cleanup(self):
        pass
