"""A served API with a task and a job."""

from collections.abc import Iterator

import pytest
from api_fakes import FakeController, plugin_object
from served_api import ServedApi, served


@pytest.fixture
def api() -> Iterator[ServedApi]:
    """The real API on a fake Controller, on a port of its own."""
    with served(FakeController(plugin_object("monitor", "task"), plugin_object("scan", "job", mode=None))) as api:
        yield api
