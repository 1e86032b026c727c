"""Runs commands in this process against the real API on a fake Controller."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import pytest
from api_fakes import FakeController, plugin_object
from served_api import Command, ScriptedRuns, ServedApi, served

from iocmng.cli.main import main

_lives = itertools.count(1)


def fresh(controller: FakeController) -> None:
    """Bring a Controller back to a task and a job, and nothing that has happened."""
    new = FakeController(plugin_object("monitor", "task"), plugin_object("scan", "job", mode=None))
    controller.__dict__.update(
        plugins=new.plugins,
        calls=new.calls,
        raises={},
        result=new.result,
        log_lines=new.log_lines,
        applied=[],
        past={},
        stored=[],
        audited=[],
    )
    controller.begin_new_life()
    controller.epoch = f"life {next(_lives)}"


@pytest.fixture(scope="session")
def _shared_api() -> Iterator[ServedApi]:
    with served(FakeController()) as api:
        yield api


@pytest.fixture
def api(_shared_api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> ServedApi:
    """The served API with a task and a job; IOCMNG_URL names it."""
    _shared_api.do(fresh)
    _shared_api.runs.__dict__.update(ScriptedRuns().__dict__)
    monkeypatch.setenv("IOCMNG_URL", _shared_api.url)
    return _shared_api


@pytest.fixture
def iocmng(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `iocmng` with arguments; return exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["iocmng", *arguments])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return run
