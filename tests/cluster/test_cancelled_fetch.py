"""A fetch ends with the wish for its plugin, also on a server that was started in the background."""

import signal
import threading
from pathlib import Path

import pytest
from git_https import GitServer, make_certificate
from support import MINIMAL_TASK, Server, make_repository, wait_for

pytestmark = pytest.mark.thorough

SLOW_BACKEND = """\
import time


def build_wheel(directory, config_settings=None, metadata_directory=None):
    time.sleep(3600)
"""
PROJECT = """\
[build-system]
requires = []
build-backend = "slow_backend"
backend-path = ["."]

[project]
name = "slow"
version = "1"
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def background(tmp_path_factory, certificate):
    """A server that has inherited that SIGINT is ignored, as from `nohup` or from `&` in a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = Server(
            tmp_path_factory.mktemp("server"),
            "BKG",
            GIT_SSL_CAINFO=str(certificate[0]),
            NO_PROXY="localhost",
            IOCMNG_WARM_PROCESSES="0",
        )
    finally:
        signal.signal(signal.SIGINT, before)
    server.wait_until_ready()
    yield server
    assert server.stop() == 0, server.log.read_text()


def removed_while_fetched(server, body, words):
    """Remove a plugin while processes with these words in their command lines fetch it; return when they are gone."""
    assert server.http.post("/plugins?wait=false", json=body).status_code == 202
    pids = wait_for(lambda: server.processes_with(words), "it is being fetched", 60)
    assert server.http.delete(f"/plugins/{body['name']}").status_code == 200
    wait_for(lambda: not server.processes_with(words), f"the fetch has ended: {pids}", 30)
    wait_for(lambda: server.leftovers() == [], "nothing is left")


def test_remove_ends_a_clone(background, certificate, tmp_path):
    """A clone whose git server never answers ends with its plugin."""
    repository = make_repository(tmp_path / "repository", {"m.py": MINIMAL_TASK})
    answers = threading.Event()
    with GitServer(Path(repository.working_dir), "tok3n", *certificate).serving() as git_server:
        git_server.on_request = lambda: answers.wait(150)
        try:
            removed_while_fetched(background, {"name": "slow", "git_url": git_server.url}, b"remote-https")
        finally:
            answers.set()


def test_remove_ends_an_installation(background):
    """An installation of requirements that goes on for ever ends with its plugin, and what it has started too."""
    files = {
        "m.py": MINIMAL_TASK,
        "requirements.txt": "./slow\n",
        "slow/pyproject.toml": PROJECT,
        "slow/slow_backend.py": SLOW_BACKEND,
    }
    repository = background.repository("slow", files)
    removed_while_fetched(background, {"name": "slow", "git_url": str(repository.working_dir)}, b"slow_backend")
