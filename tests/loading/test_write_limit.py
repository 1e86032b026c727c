"""What a process and its children write is counted, and ended at the limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iocmng.loading.processes import Deadline, finish
from iocmng.loading.write_limit import WriteLimit, WroteTooMuch

LIMIT = 1024 * 1024

MANY_FILES = """
import itertools, pathlib, time
try:
    for number in itertools.count():
        pathlib.Path(f"{number}.bin").write_bytes(b"x" * 10_000)
        time.sleep(0.001)
except OSError as error:
    print("tidied up:", error.strerror)
"""


def run(code: str, directory: Path, limit: int = LIMIT) -> tuple[WriteLimit, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        restore_signals=False,
    )
    counted = WriteLimit(process.pid, limit)
    return counted, finish(process, Deadline.after(60), counted.watch).stdout


def test_what_stays_below_is_left_alone(tmp_path: Path):
    """A process that writes less ends as it would."""
    counted, told = run("open('x', 'wb').write(b'x' * 500_000); print('done')", tmp_path)
    assert (counted.exceeded, told) == (False, "done\n")


def test_many_files_are_counted_together(tmp_path: Path):
    """A process that has written too much may write no more, and can tidy up."""
    counted, told = run(MANY_FILES, tmp_path)
    assert counted.exceeded
    assert told == "tidied up: File too large\n"


def test_one_file_ends_at_the_limit(tmp_path: Path):
    """No file grows beyond the limit, however quickly it is written."""
    run("try: open('x', 'wb').write(b'x' * 50_000_000)\nexcept OSError: pass", tmp_path)
    assert (tmp_path / "x").stat().st_size <= LIMIT


def test_children_are_counted(tmp_path: Path):
    """What a child writes is counted with the rest."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {MANY_FILES!r}])"
    counted, _ = run(code, tmp_path)
    assert counted.exceeded


def test_who_goes_on_is_ended(tmp_path: Path):
    """A process that does not end once it may write no more is killed."""
    stubborn = MANY_FILES.replace('print("tidied up:", error.strerror)', "time.sleep(3600)")
    with pytest.raises(WroteTooMuch):
        run(stubborn, tmp_path)
