"""A task that does in execute() what an operator names in COMMAND, and notes each put that reaches it."""

import json
import sys
import time
from pathlib import Path

from iocmng import TaskBase

NOTES = Path(__file__).with_name("writes.txt")


class Puppet(TaskBase):
    def __init__(self):
        self.command = None
        self.set_pv("FROM_INIT", 7.5)
        self.set_pv("SETPOINT_INIT", 8.5)

    def initialize(self):
        self.set_output("FROM_INITIALIZE", "ready")
        self.set_input("SETPOINT_INITIALIZE", 9.5)
        self.set_pv("HAS_RAY", f"ray {'ray' in sys.modules}")

    def execute(self):
        command, self.command = self.command, None
        if command:
            getattr(self, command)()

    def cleanup(self):
        pass

    def on_write(self, pv_name, value):
        if pv_name == "COMMAND":
            self.command = value
            return
        with NOTES.open("a") as notes:
            notes.write(json.dumps([pv_name, value]) + "\n")
        if f"OUT_{pv_name}" in self.pvs:
            self.set_pv(f"OUT_{pv_name}", value)

    # What follows are the commands.

    def refuse(self):
        raise RuntimeError("the interlock of the second vacuum section is open")

    def talk(self):
        self.set_message("The beam was lost and came back: " + "all is well again. " * 3)

    def talk_briefly(self):
        self.set_message("all is well")

    def give_severities(self):
        self.set_pv("OUT_FLOAT", 0.5, "MINOR")
        self.set_pv("OUT_INT", 1, severity="MAJOR")
        self.set_pv("OUT_STRING", "no sensor", "INVALID")
        self.pvs["OUT_ENUM"].set("Off", "MAJOR")
        self.set_pv("OUT_BOOL", False, "MINOR")
        self.set_pv("FLOAT", 0.5, "MAJOR")

    def take_severities(self):
        self.set_pv("OUT_FLOAT", 0.5)
        self.set_pv("OUT_INT", 1)
        self.set_pv("OUT_STRING", "sensor found")
        self.set_pv("OUT_ENUM", 0)
        self.set_pv("OUT_BOOL", False, "NO_ALARM")

    def raise_severity_of_alarm(self):
        self.set_pv("OUT_FLOAT", 9.0, "MINOR")

    def set_inputs(self):
        self.set_input("FLOAT", 2.5)
        self.set_pv("INT", 25)
        self.set_pv("BOOL_PLAIN", True)
        self.set_pv("STRING", "by the plugin")
        self.set_pv("ENUM", "Off")

    def long_string(self):
        self.set_pv("OUT_STRING", "x" * 40)

    def long_string_of_wide_characters(self):
        self.set_pv("OUT_STRING", "µ" * 25)

    def fitting_string(self):
        self.set_pv("OUT_STRING", "y" * 39)

    def not_a_number(self):
        self.set_pv("OUT_FLOAT", float("nan"))
        self.set_pv("FLOAT", float("nan"))

    def a_number_again(self):
        self.set_pv("OUT_FLOAT", 0.0)
        self.set_pv("FLOAT", 0.0)

    def sleep(self):
        self.set_message("sleeping")
        while not self.get_pv("RELEASE"):
            time.sleep(1.5)

    def spin(self):
        self.set_message("spinning")
        while not self.get_pv("RELEASE"):
            pass
        self.set_message(f"released at {self.get_pv('INT')} {self.get_pv('STRING')}")
