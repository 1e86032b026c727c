"""What the server's processes write to stderr: one object of JSON on each line, whatever is logged, or text."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iocmng.base.log_output import LogContext, show_log

HOSTILE = 'x\n{"time": "2026-01-01T00:00:00+00:00", "message": "forged"}\r\x1b[2J\x85\u2028\u2029\udcff\0"'


class Written:
    """What has been written to stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        """Return all of it."""
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What is written to stderr; afterwards, logging is as it was before."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    level, handlers = root.level, list(root.handlers)
    loggers = list(root.manager.loggerDict.values())
    # pytest's own are among them, at loggers that propagate nothing.
    formatters = {one: one.formatter for logger in loggers for one in getattr(logger, "handlers", ())}
    root.handlers.clear()
    yield Written(capsys)
    root.handlers[:], root.level = handlers, level
    for handler, formatter in formatters.items():
        handler.setFormatter(formatter)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)


def objects(stream: Written) -> list[dict[str, Any]]:
    """Return the objects; every line must be one."""
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


def test_a_line_tells_when_where_and_what(stderr: Written) -> None:
    """The time is RFC 3339 in UTC; what is not known is left out."""
    show_log("info", "json", LogContext({"node": "n1", "plugin": "pump", "generation": 3}, lambda: {"run": None}))
    logging.getLogger("iocmng.task.pump").info("value %d", 7)
    logging.getLogger("iocmng.task.pump").debug("not shown")
    (told,) = objects(stderr)
    moment = datetime.fromisoformat(told.pop("time"))
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - moment) < timedelta(seconds=10)
    assert told == {
        "level": "INFO",
        "logger": "iocmng.task.pump",
        "message": "value 7",
        "node": "n1",
        "plugin": "pump",
        "generation": 3,
    }


def test_a_log_call_may_name_what_it_is_about(stderr: Written) -> None:
    """But in a plugin's process nobody speaks for another plugin, and only known fields come in."""
    show_log("info", "json", LogContext({"node": "n1"}))
    logging.getLogger("a").info("b", extra={"plugin": "pump", "run": 4, "time": "never", "other": 1})
    show_log("info", "json", LogContext({"plugin": "pump"}))
    logging.getLogger("a").info("b", extra={"plugin": "other"})
    first, second = objects(stderr)
    assert (first["plugin"], first["run"], "other" in first) == ("pump", 4, False)
    assert first["time"] != "never"
    assert second["plugin"] == "pump"


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_text_forges_a_line(stderr: Written, form: str) -> None:
    """Not as a message, not as a logger's name, not as an exception's text."""
    show_log("info", form)
    logging.getLogger(HOSTILE).info(HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("a").exception("it failed")
    if form == "json":
        first, second = objects(stderr)
        assert first["message"] == first["logger"] == HOSTILE
        assert second["message"] == "it failed"
        assert second["exception"].startswith("Traceback")
        assert HOSTILE in second["exception"]
    begun = [line for line in stderr.getvalue().split("\n")[:-1] if not line.startswith("    ")]
    assert len(begun) == 2
    assert not any(letter in stderr.getvalue() for letter in "\r\x1b\x85\u2028\u2029\udcff\0")


def test_secrets_are_taken_out(stderr: Written) -> None:
    """Of messages and of exceptions, before line ends are shown in another way."""
    secret = "\n".join(("4711", "4712"))
    for form in ("json", "text"):
        show_log("info", form, LogContext(clean=lambda text: text.replace(secret, "***")))
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("a").exception("my %s", secret)
    assert "my ***" in stderr.getvalue()
    assert "4712" not in stderr.getvalue().replace('"4712"', "")


def test_what_cannot_be_written_is_told_of_in_one_line(stderr: Written) -> None:
    """A log call whose arguments do not fit prints no traceback."""
    show_log("info", "json")
    logging.getLogger().handlers[:] = logging.getLogger().handlers[-1:]  # pytest's own raise
    logging.getLogger("a").info("%d", "no number")
    (told,) = objects(stderr)
    assert told["message"].startswith("a log call failed: TypeError")


def test_what_nobody_catches_is_one_line(stderr: Written) -> None:
    """Exceptions of threads and warnings, too."""
    show_log("info", "json")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    warnings.warn("old\nfashioned", stacklevel=1)
    first, second = objects(stderr)
    assert first["message"] == "uncaught ZeroDivisionError"
    assert "Traceback" in first["exception"]
    assert (second["logger"], second["level"]) == ("py.warnings", "WARNING")


def test_libraries_with_handlers_of_their_own_write_json_too(stderr: Written) -> None:
    """Ray and Serve have such; files of theirs stay as they are."""
    library = logging.getLogger("a_library")
    handler = logging.StreamHandler()
    library.addHandler(handler)
    library.propagate = False
    try:
        show_log("info", "json")
        library.warning("a\nb")
        assert objects(stderr)[0]["message"] == "a\nb"
    finally:
        library.removeHandler(handler)


def test_it_can_be_set_up_anew(stderr: Written) -> None:
    """Every line comes once."""
    for _ in range(3):
        show_log("info", "json")
    logging.getLogger("a").info("once")
    assert len(objects(stderr)) == 1
