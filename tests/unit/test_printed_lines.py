"""What is printed becomes whole lines of the log."""

from __future__ import annotations

import io
import logging
import sys
import threading

import pytest

from iocmng.base.printed_lines import PrintedLines, log_what_is_printed


def test_lines_are_logged_when_they_are_whole() -> None:
    """A line may be printed in parts, and several at once; empty ones are left out."""
    found: list[str] = []
    stream = PrintedLines(io.StringIO(), found.append)
    print("a", end="", file=stream)
    print("b", 1, file=stream)
    stream.write("c\n\nd\r\ne")
    stream.writelines(["f\n", "10%\r20%\r100%\n"])
    stream.flush()
    assert found == ["ab 1", "c", "d", "ef", "100%"]


def test_each_thread_has_lines_of_its_own() -> None:
    """Two that print at the same time do not tear each other's lines apart."""
    found: list[str] = []
    stream = PrintedLines(io.StringIO(), found.append)
    stream.write("mine, ")
    thread = threading.Thread(target=lambda: print("theirs", file=stream))
    thread.start()
    thread.join()
    stream.write("whole\n")
    assert found == ["theirs", "mine, whole"]


def test_what_never_ends_is_not_gathered_for_ever() -> None:
    """A text without a line's end is logged in pieces."""
    found: list[str] = []
    stream = PrintedLines(io.StringIO(), found.append)
    for _ in range(50):
        stream.write("x" * 1000)
    assert found
    assert sum(map(len, found)) > 30_000


def test_a_handler_that_prints_does_not_go_in_circles() -> None:
    """What is printed while a line is logged goes to the stream itself."""
    below = io.StringIO()
    stream = PrintedLines(below, lambda line: print("again", line, file=stream))
    print("once", file=stream)
    assert below.getvalue() == "again once\n"


def test_bytes_and_the_descriptor_are_the_stream_s_own(tmp_path) -> None:
    """Programs that are started, and code that writes bytes, find what they need."""
    with (tmp_path / "out").open("w", encoding="utf-8") as below:
        stream = PrintedLines(below, lambda line: None)
        assert stream.fileno() == below.fileno()
        assert stream.buffer is below.buffer
        assert (stream.encoding, stream.errors) == ("utf-8", "strict")
        assert not stream.isatty()
        assert stream.writable()


def test_stdout_and_stderr_are_told_apart(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What goes to stderr is a warning; text with % is no format; once is enough."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logger = logging.getLogger("printed_lines_test")
    logger.setLevel(logging.INFO)
    for _ in range(2):
        log_what_is_printed(logger)
    sys.stdout.write("100%d\n")
    sys.stderr.write("oh\n")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "100%d"),
        ("WARNING", "oh"),
    ]
