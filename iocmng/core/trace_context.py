"""The context of a trace as it travels: a `traceparent` of W3C Trace Context, known also where no traces are kept."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CURRENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """Return the traceparent of what is being done."""
    return _CURRENT.get()


@contextmanager
def carried(traceparent: str | None) -> Generator[None]:
    """Do something as a part of what the traceparent names; None: as a part of nothing."""
    token = _CURRENT.set(traceparent)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def checked(text: str | None) -> str | None:
    """Return a traceparent that came from outside, or None where it is none."""
    return text if text is not None and _FORM.fullmatch(text) else None


def trace_id(traceparent: str | None) -> str | None:
    """Return the id that all parts of a trace share; it names a request in the log."""
    return traceparent.split("-")[1] if traceparent is not None else None


def request_shown() -> Mapping[str, str | None]:
    """Return what a line of the log tells of the request that is being served."""
    return {"request": trace_id(current())}
