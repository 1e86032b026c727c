"""A reactive task: a cycle follows each put."""

from iocmng import TaskBase


class Doubler(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        self.set_pv("DOUBLE", 2 * self.get_pv("A"))

    def cleanup(self):
        pass
