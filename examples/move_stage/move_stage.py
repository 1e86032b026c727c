"""A triggered task: the operator sets TARGET and writes 1 to RUN."""

from iocmng import TaskBase


class MoveStage(TaskBase):
    def initialize(self):
        self.position = 0.0
        self.set_pv("POSITION", self.position)

    def on_write(self, pv_name, value):
        self.set_message(f"{pv_name} set to {value}")

    def execute(self):
        target, step = self.get_pv("TARGET"), self.parameters["step"]
        while self.running and abs(target - self.position) > step / 2:
            self.position += step if target > self.position else -step
            self.set_pv("POSITION", self.position)
        self.set_pv("IN_POSITION", True)
        self.set_message(f"arrived at {self.position:g} mm")

    def cleanup(self):
        self.set_pv("IN_POSITION", False)
