"""A running application without a network: httpx speaks ASGI to it, and the Controller is a fake."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import httpx
import pytest
from api_fakes import FakeController, Serving, plugin_object, serve


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("IOCMNG_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def serving() -> Serving:
    """The function that runs an application."""
    return serve


@pytest.fixture
def controller() -> FakeController:
    """A Controller with a task and a job."""
    return FakeController(plugin_object("monitor", "task"), plugin_object("scan", "job", mode=None))


@pytest.fixture
async def client(controller: FakeController) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an application on loopback without a token."""
    async with serve(controller) as opened:
        yield opened
