"""The newest log lines of a process, in a file that is left when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from iocmng.cluster.last_lines import LastLines, read_lines
from iocmng.cluster.last_words import LastWords, bury, forget_words
from iocmng.settings import Settings


def test_only_what_was_not_reported_is_read(tmp_path: Path) -> None:
    """Each line has its number, and whatever is in it comes back as it was."""
    lines = LastLines(tmp_path / "lines")
    for number, line in enumerate(["one", 'two\n[9, "forged"]', "three \udcff"], 1):
        lines.keep(number, line)
    assert read_lines(tmp_path / "lines", 1) == ('two\n[9, "forged"]', "three \udcff")
    assert read_lines(tmp_path / "lines", 3) == ()
    assert read_lines(tmp_path / "none", 0) == ()


def test_the_file_stays_small_and_has_the_newest(tmp_path: Path) -> None:
    """However much is logged, and however long the lines are."""
    file = tmp_path / "lines"
    lines = LastLines(file, most_bytes=2000)
    for number in range(1, 1001):
        lines.keep(number, f"line {number}")
        assert file.stat().st_size <= 2000
    found = read_lines(file, 0)
    assert found[-1] == "line 1000"
    assert len(found) > 20
    lines.keep(1001, "x" * 5000)
    lines.keep(1002, "last")
    assert read_lines(file, 1000)[-1] == "last"


def test_a_line_that_was_cut_by_the_end_is_left_out(tmp_path: Path) -> None:
    """A process may die, or a disk be full, in the middle of one."""
    file = tmp_path / "lines"
    LastLines(file).keep(1, "whole")
    with file.open("ab") as appended:
        appended.write(b'[2, "ha')
    assert read_lines(file, 0) == ("whole",)


def test_a_full_disk_does_not_stop_the_plugin() -> None:
    """Lines that cannot be kept are not."""
    LastLines(Path("/dev/full")).keep(1, "one")


def test_a_killed_process_leaves_its_lines_and_no_files(tmp_path: Path) -> None:
    """Whoever buries it gets them once; files of those that live are let be."""
    words, other = (LastWords(Settings(state_dir=tmp_path)) for _ in range(2))
    other.open_lines().keep(1, "of one that lives")
    code = f"""
import os, pickle, signal
words = pickle.loads({__import__("pickle").dumps(words)!r})
lines = words.open_lines()
for number in range(1, 5):
    lines.keep(number, f"line {{number}}")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    forget_words(Settings(state_dir=tmp_path), {words.file, other.file})
    ending = bury(2**22 + os.getpid() % 1000, words, reported=2)
    assert (ending.is_gone, ending.lines) == (True, ("line 3", "line 4"))
    assert [file.name for file in (tmp_path / "last-words").iterdir()] == [other.lines_file.name]
