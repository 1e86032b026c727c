"""A job that moves by its parameter `distance`, in four steps; HOLD holds it up after the second."""

import time

from iocmng import JobBase, JobResult


class Move(JobBase):
    def initialize(self):
        self.set_message("moving")

    def execute(self):
        if self.get_pv("FAIL"):
            raise RuntimeError("the motor is in its limit switch")
        for quarter in (1, 2, 3, 4):
            self.report_progress(quarter / 4, f"{quarter} of 4")
            while quarter == 2 and self.get_pv("HOLD"):
                time.sleep(0.02)
        self.set_pv("MOVED", self.get_pv("MOVED") + self.parameters["distance"])
        return JobResult(True, message=f"moved by {self.parameters['distance']} mm")
