"""One real server for the tests of this folder: Ray, Serve, HTTP, softioc, git; nothing is faked."""

import pytest
from scraping import INTERVAL
from support import Server, free_port, wait_for


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """A server that all tests share; it must end in good order and leave no process behind."""
    metrics_port = free_port()
    server = Server(
        tmp_path_factory.mktemp("server"),
        "TST",
        IOCMNG_METRICS_PORT=str(metrics_port),
        **INTERVAL,
        IOCMNG_INITIALIZE_TIMEOUT="5",
        IOCMNG_IMPORT_TIMEOUT="5",
        IOCMNG_STOP_TIMEOUT="3",
        IOCMNG_CRASH_BACKOFF="0.5",
        IOCMNG_CRASH_BACKOFF_LIMIT="2",
        IOCMNG_STABLE_AFTER="3",
    ).wait_until_ready()
    server.metrics_port = metrics_port
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def server(shared_server):
    """The shared server without any plugin, before and after the test."""
    yield shared_server
    for name in shared_server.names():
        shared_server.http.delete(f"/plugins/{name}")
    wait_for(lambda: not shared_server.names(), "all plugins removed")
    assert shared_server.leftovers() == []
