"""IOCs that many tests share, and clients of PV Access."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ioc_process import RUN, Ioc, copy_plugin, new_prefix
from p4p.client.thread import Context
from support import LOOPBACK


@pytest.fixture(scope="session")
def pva() -> Iterator[Context]:
    """A PV Access client."""
    with Context("pva", conf=LOOPBACK, useenv=False) as context:
        yield context


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Ioc]]:
    """Return what starts an IOC for one test, given its directory, options and environment.

    Each has a prefix of its own unless it takes over that of another one.
    """
    started: list[Ioc] = []

    def begin(
        directory: Path | None, *options: object, command=RUN, cwd=None, after: Ioc | None = None, **environment: str
    ) -> Ioc:
        prefix = after.prefix if after else new_prefix()
        place = [] if directory is None else [directory]
        log = tmp_path / f"{len(started)}.log"
        ioc = Ioc([*command, *place, "--prefix", prefix, *options], prefix, log, cwd, **environment)
        started.append(ioc)
        return ioc

    yield begin
    for ioc in started:
        ioc.kill()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ioc]]:
    """Return the IOC of one of the plugins beside the tests, started by the first who asks."""
    started: dict[str, Ioc] = {}

    def get(name: str) -> Ioc:
        if name not in started:
            root = tmp_path_factory.mktemp(name)
            prefix = new_prefix()
            directory = copy_plugin(name, root)
            command = [*RUN, directory, "--prefix", prefix, "--pvout", root / "pvs.txt"]
            started[name] = Ioc(command, prefix, root / "log.txt")
        return started[name].wait_until_serving()

    yield get
    statuses = {
        name: ioc.process.poll() if ioc.process.poll() is not None else ioc.stop() for name, ioc in started.items()
    }
    assert set(statuses.values()) <= {0}, statuses


@pytest.fixture
def puppet(shared: Callable[[str], Ioc]) -> Ioc:
    """A continuous task with PVs of every type; see plugins/puppet."""
    ioc = shared("puppet")
    ioc.wait_value("FROM_INITIALIZE", "ready")
    return ioc


@pytest.fixture
def triggered(shared: Callable[[str], Ioc]) -> Ioc:
    """A triggered task; see plugins/triggered."""
    return shared("triggered")


@pytest.fixture
def reactive(shared: Callable[[str], Ioc]) -> Ioc:
    """A reactive task that doubles A."""
    ioc = shared("reactive")
    ioc.wait_value("STATUS", "RUN")
    return ioc


@pytest.fixture
def job(shared: Callable[[str], Ioc]) -> Ioc:
    """A job that moves by 7 mm."""
    return shared("job")
