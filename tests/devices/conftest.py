"""A simulated beamline for all tests of this folder, and a Channel Access client in pytest's own process."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from beamline import MotorIoc
from ioc_process import RUN, Ioc, new_prefix
from support import LOOPBACK

_numbers = itertools.count(1)


def new_beamline() -> str:
    """Return a prefix of PVs that no other beamline has."""
    return f"DEV-{os.getpid()}:B{next(_numbers)}"


@pytest.fixture
def later(tmp_path: Path) -> Iterator[MotorIoc]:
    """A prefix whose IOC the test starts and stops when it likes."""
    started: list[MotorIoc] = []

    class Later:
        prefix = new_beamline()

        def start(self) -> None:
            started.append(MotorIoc(self.prefix, tmp_path / "motors.log").wait_until_serving())

        def stop(self) -> None:
            started.pop().stop()

    yield Later()  # type: ignore[misc]
    for ioc in started:
        ioc.stop()


@pytest.fixture(scope="session")
def motors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotorIoc]:
    """The beamline: two motors and a reading."""
    ioc = MotorIoc(new_beamline(), tmp_path_factory.mktemp("motors") / "log.txt")
    yield ioc.wait_until_serving()
    ioc.stop()


@pytest.fixture(scope="session")
def channel_access() -> None:
    """Let this process's own libca look for PVs on this machine only; it asks the environment once."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in LOOPBACK.items():
            environment.setenv(name, value)
        environment.delenv("PYEPICS_LIBCA", raising=False)
        from iocmng.ophyd.making import use_one_libca

        use_one_libca()
        import ophyd

        assert ophyd.get_cl().name == "pyepics"
        from epics import ca

        assert ca.current_context() is not None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Ioc]]:
    """Return what starts `iocmng run` on a directory, with ophyd devices."""
    started: list[Ioc] = []

    def begin(directory: Path, values: Path, **environment: str) -> Ioc:
        prefix = new_prefix()
        log = tmp_path / f"run-{len(started)}.log"
        devices = {"IOCMNG_DISABLE_OPHYD": "false", "IOCMNG_BEAMLINE_CONFIG": str(values)} | environment
        ioc = Ioc([*RUN, directory, "--prefix", prefix], prefix, log, **devices)
        started.append(ioc)
        return ioc

    yield begin
    for ioc in started:
        ioc.kill()
