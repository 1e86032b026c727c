"""Fixtures of all tests."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from delegated_group import delegated_group
from support import LOOPBACK, TOOLS

os.environ.update(LOOPBACK)
# What a test says of settings must not depend on who runs it.
for _name in [name for name in os.environ if name.startswith("IOCMNG_")]:
    del os.environ[_name]
# Tests that run in the background have inherited that SIGINT is ignored, and what they start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def ca_repeater():
    """Run caRepeater for all tests.

    Else the first CA client starts one that outlives it and holds its output open, for which a test that reads that
    output would wait. Where the machine has one already, ours ends at once.
    """
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([TOOLS / "caRepeater"], **quiet)
    yield
    process.kill()
    process.wait()


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A control group that is left to this test; without one, the test is skipped."""
    with delegated_group() as group:
        yield group
