"""A triggered task whose runs are over at once; MISTAKE chooses one that an author can make in set_pv()."""

from iocmng import TaskBase


class Shot(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        if self.get_pv("FAIL"):
            raise RuntimeError("the detector did not answer")
        match self.get_pv("MISTAKE"):
            case "wrong type":
                self.set_pv("FLOAT", "warm")
            case "nothing":
                self.set_pv("FLOAT", None)
            case "unknown PV":
                self.set_pv("FLAOT", 1.0)
            case "beyond 32 bits":
                self.set_pv("INT", 2**31)
            case "no whole number":
                self.set_pv("INT", 2.5)
            case "NaN for an int":
                self.set_pv("INT", float("nan"))
            case "unknown state":
                self.set_pv("ENUM", "Measuring")
            case "unknown number":
                self.set_pv("ENUM", 3)
            case "unknown severity":
                self.set_pv("FLOAT", 1.0, "SEVERE")
            case "unknown status":
                self.set_status("busy")
        self.set_pv("RUNS", self.get_pv("RUNS") + 1)
        self.set_message("shot taken")

    def cleanup(self):
        pass
