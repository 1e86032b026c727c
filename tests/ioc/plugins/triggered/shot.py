"""A triggered task without a word of its own on how long a run lasts: it is over at once."""

from iocmng import TaskBase


class Shot(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        if self.get_pv("FAIL"):
            raise RuntimeError("the detector did not answer")
        self.set_pv("RUNS", self.get_pv("RUNS") + 1)
        self.set_message("shot taken")

    def cleanup(self):
        pass
