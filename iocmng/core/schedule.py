"""When a job runs by itself: cron expressions, time zones, and the next moment. Pure, but for the time zone tables."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

OFF = "off"
"""Stands in the place of a cron expression where a job is not to run by itself."""

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Cron's words, and the expressions that they stand for."""

_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_HOW_TO_WRITE = "write minute, hour, day of month, month and weekday, as in `30 6 * * 1-5`"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job runs by itself.

    Attributes:
        cron: A cron expression, one of WORDS, or OFF.
        timezone: Name of the time zone whose clock the expression means.
        parameters: Laid over the job's own for these runs.
    """

    cron: str
    timezone: str = "UTC"
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_off(self) -> bool:
        """Whether it says that the job does not run by itself."""
        return self.cron == OFF

    def next_run(self, after: datetime) -> datetime | None:
        """Return the first moment later than `after` at which a run is due, in UTC; None where there is none.

        Where clocks are put forward, what falls into the missing hour is due right after it. Where they are put back,
        what names its hour is due once, in the first of the two; what runs every hour or more often goes on.

        Args:
            after: A moment with its time zone.
        """
        if self.is_off:
            return None
        for moment in CronSim(WORDS.get(self.cron, self.cron), after.astimezone(_zone(self.timezone))):
            # The library may name the first of two equal times of the clock while the second is already on.
            if (due := moment.astimezone(UTC)) > after:
                return due
        return None


def effective(given: Schedule | None, configured: Schedule | None) -> Schedule | None:
    """Return the schedule that counts: what an add or a change says wins over config.yaml; None where there is none."""
    chosen = configured if given is None else given
    return None if chosen is None or chosen.is_off else chosen


def check_cron(text: str) -> str:
    """Return a cron expression that is right.

    Raises:
        ValueError: If it is wrong, or never comes true.
    """
    if text == OFF or text in WORDS:
        return text
    if text.startswith("@"):
        raise ValueError(_wrong_word(text))
    if len(text.split()) not in (5, 6):
        raise ValueError(f"a cron expression has five fields, this one {len(text.split())}; {_HOW_TO_WRITE}")
    try:
        moment = next(CronSim(text, _ANY_MOMENT), None)
    except CronSimError as error:
        place = str(error).removeprefix("Bad ").replace("-", " ").replace("day of week", "weekday")
        raise ValueError(f"the {place} of this cron expression is wrong; {_HOW_TO_WRITE}") from None
    if moment is None:
        raise ValueError("there is no day on which this cron expression comes true")
    return text


def _wrong_word(text: str) -> str:
    if text == "@reboot":
        return "@reboot is no time: nothing runs by itself because a server starts; give a time, such as @daily"
    return f"there is no word {text[:60]!r}; the words are {', '.join(WORDS)}"


def check_timezone(name: str) -> str:
    """Return the name of a time zone that is known.

    Raises:
        ValueError: If it is not, with the nearest one that is.
    """
    try:
        _zone(name)
    except (LookupError, ValueError, OSError):  # unknown; an absolute path; a directory of zones such as `Europe`
        close = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "use a name such as 'Europe/Rome', or 'UTC'"
        raise ValueError(f"there is no time zone {name[:60]!r}; {hint}") from None
    return name


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
