"""The PVs that every task and every job has."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from iocmng.core.pv_fields import Direction, Severity
from iocmng.core.pvs import BoolPv, DeclaredPv, EnumPv, IntPv, StringPv


class Kind(StrEnum):
    """What a plugin is."""

    TASK = "task"
    JOB = "job"


class Mode(StrEnum):
    """When a task runs its cycles."""

    CONTINUOUS = "continuous"
    TRIGGERED = "triggered"
    REACTIVE = "reactive"


class TaskState(StrEnum):
    """STATUS of a task, in the order of the record's states."""

    INIT = "INIT"
    RUN = "RUN"
    PAUSED = "PAUSED"
    END = "END"
    ERROR = "ERROR"


class JobState(StrEnum):
    """STATUS of a job, in the order of the record's states."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


def _input(name: str, desc: str, value: bool, autosave: bool = False, **fields: Any) -> DeclaredPv:
    pv = BoolPv(type="bool", desc=desc, value=value, autosave=autosave, **fields)
    return DeclaredPv(name=name, direction=Direction.INPUT, pv=pv, built_in=True)


def _output(name: str, pv: IntPv | StringPv | EnumPv) -> DeclaredPv:
    return DeclaredPv(name=name, direction=Direction.OUTPUT, pv=pv, built_in=True)


def _status(states: type[TaskState] | type[JobState], alarm: str) -> DeclaredPv:
    return _output(
        "STATUS",
        EnumPv(
            type="enum",
            desc="State of the plugin",
            states=tuple(state.value for state in states),
            state_severities={alarm: Severity.MAJOR},
        ),
    )


_MESSAGE = _output("MESSAGE", StringPv(type="string", desc="What the plugin says; full text in REST"))
_VERSION = _output("VERSION", StringPv(type="string", desc="parameters.version, else the commit"))


def _task_pvs() -> tuple[DeclaredPv, ...]:
    return (
        _input("ENABLE", "0 pauses the task, 1 resumes it", True, autosave=True, znam="DISABLED", onam="ENABLED"),
        _status(TaskState, TaskState.ERROR),
        _MESSAGE,
        _VERSION,
        _output("CYCLE_COUNT", IntPv(type="int", desc="Cycles since the start")),
        _input("RUN", "Write 1 to run once", False, znam="IDLE", onam="RUN"),
        _input("CLEAR", "Write 1 to clear latched inputs", False, znam="IDLE", onam="CLEAR"),
        _input("RESET", "Write 1 to reset latched inputs", False, znam="IDLE", onam="RESET"),
        _output("HEARTBEAT", IntPv(type="int", desc="Counts while the process lives", unit="s")),
        _output("UPTIME", IntPv(type="int", desc="Time since the start of the IOC", unit="s")),
    )


def _job_pvs() -> tuple[DeclaredPv, ...]:
    return (
        _status(JobState, JobState.FAILED),
        _MESSAGE,
        _VERSION,
        _output("PROGRESS", IntPv(type="int", desc="Progress of the run", unit="%", low=0, high=100)),
        _input("RUN", "Write 1 to run with default parameters", False, znam="IDLE", onam="RUN"),
    )


_TASK_PVS, _JOB_PVS = _task_pvs(), _job_pvs()
_OF_2X_TASKS = frozenset({"ENABLE", "STATUS", "MESSAGE", "VERSION", "CYCLE_COUNT", "RUN", "CLEAR", "RESET"})
_OF_2X_JOBS = frozenset({"STATUS", "MESSAGE"})


def reserved_names(kind: Kind) -> frozenset[str]:
    """Return the names of the built-in PVs of this kind, whatever the mode."""
    return frozenset(pv.name for pv in (_TASK_PVS if kind is Kind.TASK else _JOB_PVS))


def is_of_2x(kind: Kind, name: str) -> bool:
    """Tell whether release 2.7 had this built-in PV already; it passed over a declared one of the same name."""
    return name in (_OF_2X_TASKS if kind is Kind.TASK else _OF_2X_JOBS)


def builtin_pvs(kind: Kind, mode: Mode) -> tuple[DeclaredPv, ...]:
    """Return the built-in PVs: RUN only for triggered tasks and jobs, CYCLE_COUNT only for tasks with cycles."""
    if kind is Kind.JOB:
        return _JOB_PVS
    absent = "CYCLE_COUNT" if mode is Mode.TRIGGERED else "RUN"
    return tuple(pv for pv in _TASK_PVS if pv.name != absent)
