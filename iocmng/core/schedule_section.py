"""How a schedule is written: in config.yaml, in an add, in a change."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from iocmng.core.json_values import json_problem
from iocmng.core.pv_fields import StrictModel
from iocmng.core.schedule import OFF, Schedule, check_cron, check_timezone


class ScheduleSection(StrictModel):
    """When a job runs by itself."""

    cron: Annotated[str, Field(max_length=200), AfterValidator(check_cron)]
    """Minute, hour, day of month, month, weekday (0 or 7 is Sunday), as in `30 6 * * 1-5`; six fields begin with the
    second. Or a word of cron's, as in `"@daily"`. `off`: the job does not run by itself."""
    timezone: Annotated[str, Field(max_length=64), AfterValidator(check_timezone)] = "UTC"
    """Whose clock the expression means, as in `Europe/Rome`."""
    parameters: dict[str, Any] = {}
    """Laid over the job's parameters for these runs."""

    @field_validator("cron", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return OFF if value is False else value

    @field_validator("parameters", mode="before")
    @classmethod
    def _plain_json(cls, value: Any) -> Any:
        if problem := json_problem(value):
            raise ValueError(problem)
        return {} if value is None else value

    @property
    def schedule(self) -> Schedule:
        """The same, as the rules know it."""
        return Schedule(self.cron, self.timezone, self.parameters)


def _cron_alone(value: Any) -> Any:
    """Read `schedule: "0 6 * * *"` as `schedule: {cron: "0 6 * * *"}`, and "" as absent."""
    if value == "" or value is None:
        return None
    if isinstance(value, str) or value is False:  # YAML reads `off` as false
        return {"cron": value}
    if not isinstance(value, dict | ScheduleSection):
        raise ValueError(f"must be a cron expression in quotes, or {{cron: ..., timezone: ...}}, not {value!r:.80}")
    return value  # pyright: ignore[reportUnknownVariableType]


_CronText = Annotated[str, Field(max_length=200)]

ScheduleField = Annotated[
    ScheduleSection | None, BeforeValidator(_cron_alone, json_schema_input_type=ScheduleSection | _CronText | None)
]
"""A schedule, or a cron expression alone."""


def schedule_of(section: ScheduleSection | None) -> Schedule | None:
    """Return the schedule that a section stands for."""
    return section.schedule if section is not None else None
