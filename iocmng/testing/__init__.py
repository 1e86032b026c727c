"""For authors' tests: a plugin without EPICS and Ray, or as a real IOC. Nothing of it is loaded when plugins run.

With pytest, the fixtures `run_plugin` and `ioc` are there as soon as iocmng is installed (pytest_iocmng.py).
"""

from iocmng.testing.clock import FakeClock
from iocmng.testing.harness import PluginHarness
from iocmng.testing.ioc import IocProcess, Reading
from iocmng.testing.outside import FakePvClient
from iocmng.testing.pvs import FakePv, FakePvs

__all__ = ["FakeClock", "FakePv", "FakePvClient", "FakePvs", "IocProcess", "PluginHarness", "Reading"]
