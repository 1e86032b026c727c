"""JobBase: a plugin that runs once, when it is asked to, and returns a result."""

from __future__ import annotations

import abc
import datetime
from dataclasses import dataclass, field
from typing import Any, ClassVar

from iocmng.base.plugin import PluginBase, Runtime
from iocmng.core.builtin_pvs import Kind


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat()


@dataclass
class JobResult:
    """Result of one run.

    Attributes:
        success: Whether the job did what it is for.
        data: Anything that JSON can hold.
        message: One sentence for the operator.
        timestamp: When the result was made, in ISO 8601 with the offset from UTC.
    """

    success: bool
    data: Any = None
    message: str = ""
    timestamp: str = field(default_factory=_now)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a dictionary."""
        return {"success": self.success, "data": self.data, "message": self.message, "timestamp": self.timestamp}


@dataclass(slots=True)
class CancelFlag:
    """Whether a run is to end.

    Attributes:
        is_set: Whether it is.
        was_seen: Whether the author's code has looked, and found that it is.
    """

    is_set: bool = False
    was_seen: bool = False


class JobBase(PluginBase):
    """Base of jobs. A run is initialize(), execute(), cleanup(), in one thread of the plugin's own process.

    Attributes:
        last_result: Result of the last run, or None before the first.
    """

    kind: ClassVar[Kind] = Kind.JOB

    last_result: JobResult | None
    _run_flag: CancelFlag

    def bind_runtime(self, runtime: Runtime) -> None:
        """Give the job what its process has for it."""
        super().bind_runtime(runtime)
        self.last_result = None
        self._run_flag = CancelFlag()

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end: somebody cancelled it, its time is over, or its process is about to end.

        It turns true at once, whatever the author's code is doing; a long execute() looks at it now and then, in any
        thread, and returns. What does not return in time is ended with its process.
        """
        flag = self._run_flag
        flag.was_seen = flag.was_seen or flag.is_set
        return flag.is_set

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self._run_flag.is_set = value

    @abc.abstractmethod
    def initialize(self) -> None:
        """Prepare, at the beginning of each run."""

    @abc.abstractmethod
    def execute(self) -> JobResult | Any:
        """Run. What is no JobResult becomes the data of a successful one; an exception becomes a failed one."""

    def cleanup(self) -> None:
        """Put things back, at the end of each run, also of one that failed."""

    def report_progress(self, fraction: float, message: str | None = None) -> None:
        """Show how far the run is.

        Args:
            fraction: From 0 to 1; PROGRESS shows it in percent.
            message: Shown in MESSAGE, if given.
        """
        board = self._runtime.board
        board.progress(100 * min(1.0, max(0.0, fraction)))
        if message is not None:
            board.show(message=message)


def new_flag(job: JobBase) -> CancelFlag:
    """Begin a run of a job that nobody has cancelled yet; return the flag that says whether somebody does."""
    flag = job._run_flag = CancelFlag()  # pyright: ignore[reportPrivateUsage]
    return flag
