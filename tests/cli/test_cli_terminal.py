"""What differs on a terminal: bars, colours and questions; and what goes on until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

import pytest
from served_api import RUNNING, SUCCESS, ServedApi, result_object
from support import wait_for

pytestmark = pytest.mark.thorough


class Terminal:
    """A command whose stdin and stderr, and stdout if asked for, are a terminal."""

    def __init__(self, *arguments: str, stdout_too: bool = False) -> None:
        self._main, worker = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "iocmng", *arguments],
            stdin=worker,
            stdout=worker if stdout_too else subprocess.PIPE,
            stderr=worker,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
            start_new_session=True,
        )
        os.close(worker)
        self.screen = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._main, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def shows(self, text: str) -> None:
        """Wait until the screen has shown a text."""
        wait_for(lambda: text in self.screen, f"{text!r} on the screen")

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit status, and what went to a stdout that is no terminal."""
        out = self.process.stdout.read().decode() if self.process.stdout else ""
        status = self.process.wait(20)
        self._reader.join(5)
        assert "Traceback" not in self.screen
        return status, out

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the command has closed its side
            while data := os.read(self._main, 4096):
                self.screen += data.decode("utf-8", "replace")


def test_a_run_has_a_bar_on_the_terminal_and_its_result_in_the_pipe(api: ServedApi) -> None:
    """Progress is drawn on stderr; stdout holds the result and nothing that draws."""
    half = RUNNING | {"progress": 40.0, "message": "step 4 of [red]10"}
    api.runs.script = [half, half, half, SUCCESS | {"result": result_object({"peak": 3}, message="found")}]
    terminal = Terminal("job", "run", "scan")
    terminal.shows("40%")
    terminal.shows("step 4 of [red]10")
    assert terminal.ended() == (0, 'found\n{\n  "peak": 3\n}\n')


def test_long_work_has_a_spinner_and_a_table_fits_the_terminal(api: ServedApi) -> None:
    """While an add is under way the terminal says so; a list is drawn with colours."""
    terminal = Terminal("add", "pump", "--git-url", "https://git.example.org/x.git")
    terminal.shows("pump is being added")
    assert terminal.ended() == (0, "plugin 'pump' added\n")
    terminal = Terminal("list", stdout_too=True)
    terminal.shows("monitor")
    assert terminal.ended()[0] == 0
    assert "\x1b[1m" in terminal.screen
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in terminal.screen.splitlines()) <= 100


@pytest.mark.parametrize(("answer", "cancelled", "words"), [("y\n", [7], "cancelled"), ("n\n", [], "goes on")])
def test_ctrl_c_asks_whether_the_run_shall_end_too(
    api: ServedApi, answer: str, cancelled: list[int], words: str
) -> None:
    """Only a yes cancels it; either way the status is that of an interrupted program."""
    api.runs.script = [RUNNING]
    terminal = Terminal("job", "run", "scan")
    terminal.shows("running")
    terminal.interrupt()
    terminal.shows("Cancel run 7 of scan, too?")
    terminal.type(answer)
    assert terminal.ended() == (130, "")
    terminal.shows(words)
    assert api.runs.cancelled == cancelled


@pytest.fixture
def background(api: ServedApi) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands that go on until Ctrl-C; those that are left are ended."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()


def piped(background: list[subprocess.Popen[str]], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "iocmng", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    background.append(process)
    return process


def lines(stream: IO[str] | None, count: int) -> list[str]:
    assert stream is not None
    return [stream.readline() for _ in range(count)]


def test_ctrl_c_in_a_script_leaves_the_run(api: ServedApi, background: list[subprocess.Popen[str]]) -> None:
    """Nobody can be asked, so the run goes on, and the message says how to end it."""
    api.runs.script = [RUNNING]
    process = piped(background, "job", "run", "scan")
    assert lines(process.stderr, 1) == ["run 7 of scan: running\n"]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert lines(process.stderr, 1) == ["run 7 of scan goes on; `iocmng job cancel scan 7` ends it\n"]
    assert api.runs.cancelled == []


def test_logs_are_followed_until_ctrl_c(api: ServedApi, background: list[subprocess.Popen[str]]) -> None:
    """Each line comes at once, also into a pipe; Ctrl-C ends it without a word, with status 0."""
    process = piped(background, "logs", "monitor", "-f")
    assert lines(process.stdout, 2) == ["one\n", "two\n"]
    api.controller.log_lines += ["three"]
    assert lines(process.stdout, 1) == ["three\n"]
    process.send_signal(signal.SIGINT)
    assert (process.wait(20), *process.communicate()) == (0, "", "")


def test_events_are_followed_until_ctrl_c(api: ServedApi, background: list[subprocess.Popen[str]]) -> None:
    """Those that have happened, then those to come; with --json an object on each line."""
    api.do(lambda controller: controller.emit())
    process = piped(background, "events", "-f", "--json")
    assert lines(process.stdout, 1)[0].startswith('{"id": 1, ')
    api.do(lambda controller: controller.emit())
    assert lines(process.stdout, 1)[0].startswith('{"id": 2, ')
    process.send_signal(signal.SIGINT)
    assert (process.wait(20), *process.communicate()) == (0, "", "")


def test_a_reader_that_has_enough_is_no_failure_to_tell_of(api: ServedApi) -> None:
    """`iocmng pvs | head -1` ends without a traceback."""
    command = f"'{sys.executable}' -m iocmng pvs --json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")
