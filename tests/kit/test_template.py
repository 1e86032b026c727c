"""What iocmng new makes: its own tests pass at once, and the checks of a server too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from iocmng.cli.new import TemplateKind, new

# Names that ask something of the template: a long one, one of Python's own modules.
NAMES = {
    TemplateKind.TASK: "json",
    TemplateKind.TRIGGERED: "water-pump-2",
    TemplateKind.DECLARATIVE: "a" * 20,
    TemplateKind.JOB: "beam-test",
}


OTHERS = [pytest.param(kind, marks=pytest.mark.thorough) for kind in TemplateKind if kind is not TemplateKind.TASK]


@pytest.fixture(params=[TemplateKind.TASK, *OTHERS])
def made(request, tmp_path: Path) -> Path:
    """A fresh repository of each kind."""
    new(tmp_path / NAMES[request.param], request.param, None)
    return tmp_path / NAMES[request.param]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_its_own_tests_and_the_checks_pass(made: Path):
    """The steps of its CI, in their order; the tests leave nothing that git would take."""
    steps = yaml.safe_load((made / ".github/workflows/test.yml").read_text())["jobs"]["test"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[0] == 'pip install "iocmng[author]" -r requirements.txt'
    assert commands[1:] == [f"iocmng validate . --name {made.name}", "python -m pytest"]
    for command in (f"-m {commands[1]}", commands[2].removeprefix("python ")):
        done = run(*command.split(), cwd=made)
        assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    status = subprocess.run(["git", "status", "--short"], cwd=made, capture_output=True, text=True, check=True)
    assert status.stdout == ""
