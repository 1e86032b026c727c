"""What the rooms know of traces: that something is a span, which begins, may note something, and ends."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

Attribute = str | int | float | bool


class Span(Protocol):
    """A span that goes on."""

    def rename(self, name: str) -> None:
        """Give it another name."""
        ...

    def note(self, name: str, value: Attribute | None) -> None:
        """Note an attribute; None notes nothing."""
        ...


class Tracing(Protocol):
    """Keeps traces, or does not."""

    def span(self, name: str, **attributes: Attribute | None) -> AbstractContextManager[Span]:
        """Return a span, below the one that `trace_context.current()` names, which is the current one inside it.

        Attributes are named `iocmng.` and their name here; None notes nothing. An error that leaves it is noted by the
        name of its class: its text may hold what is nobody's business.
        """
        ...

    def close(self) -> None:
        """Send what has not been sent yet; takes a moment."""
        ...
