"""A running application without a network: httpx speaks ASGI to it, and the Controller is a fake."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from api_fakes import FakeController, plugin_object

from iocmng.api import create_app
from iocmng.api.snapshot import FollowTimes
from iocmng.core.backoff import Backoff
from iocmng.settings import Settings

Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

FAST = FollowTimes(first_snapshot=0.05, settle=0.2, backoff=Backoff(first=0.001, limit=0.002))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("IOCMNG_")]:
        monkeypatch.delenv(name)


@asynccontextmanager
async def serve(
    controller: FakeController, *, times: FollowTimes = FAST, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application on a fake Controller; an error that leaves the application fails the test."""

    async def connect() -> FakeController:
        return controller

    app = create_app(Settings(**settings), connect, times=times)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://iocmng.test/api/v1") as client,
    ):
        yield client


@pytest.fixture
def serving() -> Serving:
    """The function that runs an application."""
    return serve


@pytest.fixture
async def controller() -> FakeController:
    """A Controller with a task and a job."""
    return FakeController(plugin_object("monitor", "task"), plugin_object("scan", "job", mode=None))


@pytest.fixture
async def client(controller: FakeController) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an application on loopback without a token."""
    async with serve(controller) as opened:
        yield opened
