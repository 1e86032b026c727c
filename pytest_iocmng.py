"""Fixtures for plugins of iocmng: `run_plugin` and `ioc`.

pytest loads this module in every run where iocmng is installed, so it stands beside the package and loads nothing of it
before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from iocmng.testing import IocProcess, PluginHarness


@pytest.fixture
def run_plugin() -> Iterator[Callable[..., PluginHarness]]:
    """Return what runs a plugin in this process: `run_plugin(MyTask)` or `run_plugin("directory", parameters={...})`.

    Arguments and result are those of `iocmng.testing.PluginHarness`; its plugin is ended with the test.
    """
    from iocmng.testing import FakePvClient, PluginHarness

    harnesses: list[PluginHarness] = []
    outside = FakePvClient()  # one for all plugins of the test, as pv_client is one for the process

    def run(plugin: Any, **options: Any) -> PluginHarness:
        harnesses.append(PluginHarness(plugin, **{"outside": outside, **options}))
        return harnesses[-1]

    yield run
    for harness in reversed(harnesses):
        harness.close()


@pytest.fixture
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., IocProcess]]:
    """Return what runs a plugin as a real IOC in a process of its own: `ioc(MyTask)` or `ioc("directory")`.

    Arguments and result are those of `iocmng.testing.IocProcess`; the process is ended with the test.
    """
    from iocmng.testing import IocProcess

    work = tmp_path_factory.mktemp("ioc")
    processes: list[IocProcess] = []

    def run(plugin: Any, **options: Any) -> IocProcess:
        processes.append(IocProcess(plugin, work, **options))
        return processes[-1]

    yield run
    for process in reversed(processes):
        process.close()
