"""One real server with a healthy plugin for all tests of this folder; each must leave it as it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_support import LIMIT_BYTES, LIMIT_FILES, MARK, Watched
from support import Server


@pytest.fixture(scope="session")
def shared_watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server with narrow limits that may fetch from nowhere but this machine."""
    root = tmp_path_factory.mktemp("hostile")
    # Ray's sockets lie below it, and their paths must be short.
    temporary = Path(tempfile.mkdtemp(prefix="hostile-"))
    server = Server(
        root,
        "HOS",
        IOCMNG_LOCAL_ROOTS=str(root),
        IOCMNG_GIT_ALLOW=f"file://{root}/* https://localhost:1/* ssh://localhost:1/*",
        IOCMNG_FETCH_TIMEOUT="20",
        IOCMNG_FETCH_MAX_BYTES=str(LIMIT_BYTES),
        IOCMNG_FETCH_MAX_FILES=str(LIMIT_FILES),
        IOCMNG_REQUIREMENTS_TIMEOUT="20",
        IOCMNG_REQUIREMENTS_MAX_BYTES=str(LIMIT_BYTES),
        IOCMNG_IMPORT_TIMEOUT="4",
        IOCMNG_INITIALIZE_TIMEOUT="4",
        IOCMNG_STOP_TIMEOUT="3",
        IOCMNG_BODY_TIMEOUT="2",
        UV_CACHE_DIR=str(root / "uv-cache"),
        UV_HTTP_RETRIES="0",
        TMPDIR=str(temporary),
        **{MARK: str(root)},
    )
    try:
        watched = Watched(server.wait_until_ready(), temporary)
        watched.begin()
        yield watched
        watched.end()
        assert server.stop() == 0, server.log.read_text()
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture
def watched(shared_watched: Watched) -> Iterator[Watched]:
    """The shared server; afterwards it and its plugin must be as before, and nothing else be left."""
    yield shared_watched
    try:
        shared_watched.check_unharmed()
    finally:
        shared_watched.clear()
