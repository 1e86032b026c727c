"""Counting what the Controller does: how starts of plugins end, and how long they and their phases take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from iocmng.core.metrics import START_SECONDS, STARTS, Metric
from iocmng.core.tally import Tally
from iocmng.errors import IocmngError


@contextmanager
def timed(tally: Tally, metric: Metric, *tags: str) -> Iterator[None]:
    """Note how long the block takes, if it comes to a good end."""
    began = time.monotonic()
    yield
    tally.observe(metric, time.monotonic() - began, *tags)


@contextmanager
def start_counted(tally: Tally, cause: str) -> Iterator[None]:
    """Count how the start of a plugin ends; one that is given up is not counted."""
    try:
        with timed(tally, START_SECONDS, cause):
            yield
    except IocmngError as error:
        tally.count(STARTS, cause, error.failures[0].step if error.failures else error.code)
        raise
    tally.count(STARTS, cause, "ok")
