"""Tracing where no traces are kept: requests have a number all the same, for the log."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager

from iocmng.core.ports.tracing import Attribute
from iocmng.core.trace_context import carried, current


class _NoSpan:
    def rename(self, name: str) -> None:
        """Do nothing."""

    def note(self, name: str, value: Attribute | None) -> None:
        """Do nothing."""


_NO_SPAN = _NoSpan()


class NoTracing:
    """Implements core.ports.tracing.Tracing."""

    @contextmanager
    def span(self, name: str, **attributes: Attribute | None) -> Generator[_NoSpan]:
        """Number what belongs to nothing yet."""
        with carried(current() or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"):
            yield _NO_SPAN

    def close(self) -> None:
        """Do nothing."""
