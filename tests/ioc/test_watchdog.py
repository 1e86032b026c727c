"""A call that does not return, as an operator sees it."""

from support import write_files

CONFIG = """\
watchdog: 1
parameters: {interval: 0.1}
pvs: {inputs: {COMMAND: {type: string}}, outputs: {CALLS: {type: int}}}
"""

PLUGIN = """\
import time
from pathlib import Path
from iocmng import TaskBase

HERE = Path(__file__).parent

class Stuck(TaskBase):
    def initialize(self):
        self.calls = 0

    def on_write(self, pv_name, value):
        self.wait_for("second gate")

    def execute(self):
        self.calls += 1
        self.set_pv("CALLS", self.calls)
        self.wait_for("gate")

    def wait_for(self, file):
        while not (HERE / file).exists():
            time.sleep(0.05)

    def cleanup(self):
        pass
"""


def test_a_call_that_hangs_and_returns(start, tmp_path):
    """STATUS is ERROR with MAJOR and MESSAGE says which call; records answer meanwhile; RUN when it has returned."""
    directory = write_files(tmp_path / "stuck", {"config.yaml": CONFIG, "stuck.py": PLUGIN})
    ioc = start(directory).wait_until_serving()
    ioc.wait_value("STATUS", "ERROR")
    assert ioc.alarm("STATUS") == ("STATE", "MAJOR")
    assert ioc.get("MESSAGE").startswith("execute() has not returned for ")
    ioc.wait_for_line("it stands at")
    assert ", in wait_for" in ioc.output()
    (directory / "gate").touch()
    ioc.wait_value("STATUS", "RUN")
    assert ioc.get("MESSAGE") == ""
    assert ioc.alarm("STATUS") == ("NO_ALARM", "NO_ALARM")
    ioc.put("COMMAND", "hang")
    ioc.wait_value("STATUS", "ERROR")
    assert ioc.get("MESSAGE").startswith("on_write(COMMAND) has not returned")
    (directory / "second gate").touch()
    ioc.wait_value("STATUS", "RUN")
    assert ioc.stop() == 0
