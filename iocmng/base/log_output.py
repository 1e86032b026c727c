"""How the server's processes write their log to stderr: as text, or as one object of JSON for each line."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from iocmng.core.log_lines import plain, shortened

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

_OF_A_LINE = ("plugin", "generation", "run", "request")
"""What a log call may say by `extra`; what the process knows itself wins."""

_ERRORS = logging.getLogger("iocmng.errors")


def _nothing() -> Mapping[str, Any]:
    return {}


@dataclass
class LogContext:
    """What the lines of a process tell beside their text.

    Attributes:
        fields: What is the same for all lines, such as node and plugin.
        moment: Returns what belongs to this moment, such as the run that goes on.
        clean: Takes secrets out of a text.
    """

    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    moment: Callable[[], Mapping[str, Any]] = _nothing
    clean: Callable[[str], str] = str


class TextLines(logging.Formatter):
    """A line of text, which begins no line but its own."""

    def __init__(self, context: LogContext) -> None:
        super().__init__(TEXT_FORMAT)
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows it, indented."""
        return plain(self._context.clean(super().format(record)))


class JsonLines(logging.Formatter):
    """An object of JSON on one line, all of it ASCII, so that no text can be taken for a line's end."""

    def __init__(self, context: LogContext) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        clean = self._context.clean
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": shortened(clean(record.getMessage())),
        }
        told |= {name: vars(record)[name] for name in _OF_A_LINE if name in vars(record)}
        told |= {**self._context.fields, **self._context.moment()}
        parts = [self.formatException(record.exc_info) if record.exc_info else "", record.stack_info or ""]
        if any(parts):
            told["exception"] = shortened(clean("\n".join(part for part in parts if part)))
        return json.dumps({name: value for name, value in told.items() if value is not None}, default=str)


class _Handler(logging.StreamHandler[Any]):
    """Writes to the stderr that the process had when this was made."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell of a log call that could not be written; logging itself would print several lines."""
        reason = sys.exc_info()[1]
        told = logging.LogRecord(record.name, logging.ERROR, "", 0, "a log call failed: %r", (reason,), None)
        if not isinstance(reason, OSError):  # of the stream itself
            self.stream.write(f"{self.format(told)}{self.terminator}")


def show_log(level: str, form: str, context: LogContext | None = None) -> logging.Handler:
    """Have this process write its log to stderr; return the handler that does.

    Args:
        level: Least severe lines to show.
        form: `json`, or anything else for text.
        context: What the lines tell beside their text.
    """
    context = context or LogContext()
    as_json = form == "json"
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonLines(context) if as_json else TextLines(context))
    root = logging.getLogger()
    for other in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if as_json:
        _take_in_libraries(handler.formatter)
        _log_uncaught()
    return handler


def _take_in_libraries(formatter: logging.Formatter | None) -> None:
    """Have the lines written alike that libraries, Ray among them, write by handlers of their own."""
    for logger in list(logging.getLogger().manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            is_plain = isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
            if is_plain and getattr(logger, "name", "") != "iocmng.audit":
                handler.setFormatter(formatter)
    logging.captureWarnings(True)


def _log_uncaught() -> None:
    """Log exceptions that nobody catches, which Python would print line by line."""

    def log(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        _ERRORS.error("uncaught %s", kind.__name__, exc_info=(kind, error or kind(), trace))

    def log_of_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_type is not SystemExit:
            log(told.exc_type, told.exc_value, told.exc_traceback)

    def log_unraisable(told: sys.UnraisableHookArgs) -> None:
        log(told.exc_type, told.exc_value, told.exc_traceback)

    sys.excepthook, threading.excepthook, sys.unraisablehook = log, log_of_thread, log_unraisable
