"""Hearing from one process: its reports, its silence, and its watchdog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from iocmng.core.manifest import Watchdog
from iocmng.core.ports.processes import PluginHandle
from iocmng.core.spec import Report
from iocmng.errors import PluginCrashed

SILENCE = 30.0
"""Seconds without an answer after which a process without a watchdog of its own is said to hang."""

ANSWER_EVERY = 5.0
"""Seconds after which a process answers at the latest, also if it has nothing to tell."""


async def hear(handle: PluginHandle, watchdog: Watchdog | None, on_silence: Callable[[float], object]) -> Report:
    """Return the next report of a process.

    Args:
        handle: The process.
        watchdog: What its config.yaml says of calls that hang.
        on_silence: Told each time that it has not answered for so many seconds.

    Raises:
        PluginCrashed: If it is gone, or does not answer and its watchdog says that it is to be killed.
    """
    within = min(ANSWER_EVERY, watchdog.seconds / 2) if watchdog else ANSWER_EVERY
    limit = within + (watchdog.seconds if watchdog else SILENCE)
    call = asyncio.ensure_future(handle.next_report(within))
    try:
        while not (await asyncio.wait({call}, timeout=limit))[0]:
            on_silence(limit)
            if watchdog is not None and watchdog.restart:
                raise PluginCrashed(f"killed by its watchdog: it did not answer for {limit:g} s")
        return await call
    finally:
        call.cancel()


def check_hung(report: Report, watchdog: Watchdog | None) -> None:
    """Check that a report does not tell of a call that hangs, where the watchdog ends the process for that.

    Raises:
        PluginCrashed: If it does; the process is to be killed then.
    """
    if report.hung and watchdog is not None and watchdog.restart:
        raise PluginCrashed(f"killed by its watchdog: {report.message}")
