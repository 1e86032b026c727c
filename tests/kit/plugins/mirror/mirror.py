"""Writes to each output what a client has put to the input of the same type."""

from iocmng import TaskBase


class Mirror(TaskBase):
    def initialize(self):
        self.writes = 0

    def execute(self):
        pass

    def on_write(self, pv_name, value):
        self.set_pv(pv_name.replace("_IN", "_OUT"), value)
        if pv_name == "FLOAT_IN":
            self.set_pv("SEVERE", value, severity="MINOR")
        self.writes += 1
        self.set_pv("WRITES", self.writes)

    def cleanup(self):
        pass
