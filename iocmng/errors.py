"""Every error that iocmng raises, drawn as one tree.

    IocmngError                     500  internal-error
    ├── InvalidRequest              422  invalid-request      a body, name or setting fails its schema
    ├── PluginRejected              422  plugin-rejected      a plugin fails one of its checks
    ├── WrongKind                   400  wrong-kind           a job where a task is asked for, or the reverse
    ├── Unauthorized                401  unauthorized         no credential, or a wrong one
    ├── Forbidden                   403  forbidden            this server does not allow the call
    ├── UnknownPlugin               404  unknown-plugin
    ├── UnknownRun                  404  unknown-run
    ├── DuplicatePlugin             409  duplicate-plugin
    ├── WrongState                  409  wrong-state          the call does not fit what the plugin is doing
    ├── RunCancelled                409  run-cancelled        the run that a call waited for was cancelled
    ├── BodyTooSlow                 408  body-too-slow        the body did not arrive in time
    ├── BodyTooLarge                413  body-too-large
    ├── TooManyRuns                 429  too-many-runs        as many runs of a job wait as may
    ├── TooManyTries                429  too-many-tries       too many wrong credentials from one address, or from all
    ├── SourceUnavailable           502  source-unavailable   the repository cannot be fetched
    ├── PluginCrashed               502  plugin-crashed       the plugin's process ended
    ├── ServerUnavailable           503  server-unavailable   the Controller cannot be reached
    │   ├── StateUnavailable        503  state-unavailable    the state cannot be read or written
    │   └── ServerUnreachable       503  server-unreachable   a client gets no answer from the server
    ├── NoPorts                     503  no-ports             the range of ports for IOCs is used up
    ├── TimedOut                    504  timed-out
    └── AuthorError                                           raised by plugin authors, or for their mistakes
        ├── TemporaryError          500  temporary-error      a cycle failed; try again after `delay`
        ├── PermanentError          500  permanent-error      a cycle failed; do not try again
        ├── Cancelled               500  cancelled            the plugin's work was asked to end early, and did
        ├── ItemFailed              500  item-failed          the function of a map() failed for one item
        ├── UnknownPv               500  unknown-pv           set_pv or get_pv with a name never declared
        └── PvValueError            500  pv-value             a value that does not fit the record

`code` is stable and machine readable; `http_status` is what the REST API answers (RFC 9457). Every error crosses
process borders unchanged: `__reduce__` carries the message and the attributes, whatever the constructor looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """One failed check of a plugin.

    Attributes:
        step: Name of the check: clone, dependencies, config, syntax, import, inheritance, abstract methods,
            or, after the checks, constructor, records, initialize.
        message: What is wrong and what to do about it.
        file: Path of the file inside the plugin, where one file is at fault.
        line: Line in `file`, counted from 1.
    """

    step: str
    message: str
    file: str | None = None
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as it stands in `validation.errors` of a REST answer."""
        return asdict(self)

    def __str__(self) -> str:
        place = f" ({self.file}{f', line {self.line}' if self.line else ''})" if self.file else ""
        return f"{self.step}: {self.message}{place}"


def _rebuild(cls: type[IocmngError], message: str, state: dict[str, Any]) -> IocmngError:
    """Make an error from its pickled parts without calling its constructor."""
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class IocmngError(Exception):
    """Base of all errors of iocmng. Its message says what happened, where, and what to do.

    Attributes:
        failures: The failed checks, for errors that tell of a plugin.
        snapshot_version: Version of the Controller's snapshot that shows what the failed call has left, if it had
            changed anything.
        run_id: The run that a call has waited for, where it tells of one.
        problem: The problem document of which a client made the error; empty elsewhere.
    """

    code: ClassVar[str] = "internal-error"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, failures: Sequence[CheckFailure] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        self.snapshot_version = 0
        self.run_id: int | None = None
        self.problem: dict[str, Any] = {}

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


class InvalidRequest(IocmngError):
    """A body, a name or a setting does not fit its schema."""

    code = "invalid-request"
    http_status = 422


class PluginRejected(IocmngError):
    """A plugin failed one of its checks; `failures` has one entry per failed check."""

    code = "plugin-rejected"
    http_status = 422

    @classmethod
    def because(cls, *failures: CheckFailure) -> PluginRejected:
        """Make the error from the failed checks alone."""
        return cls("; ".join(str(failure) for failure in failures), failures=failures)


class WrongKind(IocmngError):
    """A job was given where a task is asked for, or the reverse."""

    code = "wrong-kind"
    http_status = 400


class Unauthorized(IocmngError):
    """The call carries no credential, or a wrong one."""

    code = "unauthorized"
    http_status = 401


class Forbidden(IocmngError):
    """This server does not allow the call."""

    code = "forbidden"
    http_status = 403


class UnknownPlugin(IocmngError):
    """No plugin has this name."""

    code = "unknown-plugin"
    http_status = 404


class UnknownRun(IocmngError):
    """The job has no run of this number, or it is no longer kept."""

    code = "unknown-run"
    http_status = 404


class DuplicatePlugin(IocmngError):
    """A plugin of this name exists already."""

    code = "duplicate-plugin"
    http_status = 409


class WrongState(IocmngError):
    """The call does not fit what the plugin is doing now."""

    code = "wrong-state"
    http_status = 409


class RunCancelled(IocmngError):
    """The run was cancelled before it had ended by itself."""

    code = "run-cancelled"
    http_status = 409


class BodyTooSlow(IocmngError):
    """The request's body did not arrive in time."""

    code = "body-too-slow"
    http_status = 408


class BodyTooLarge(IocmngError):
    """The request's body is larger than the server takes."""

    code = "body-too-large"
    http_status = 413


class TooManyRuns(IocmngError):
    """As many runs of the job wait already as may."""

    code = "too-many-runs"
    http_status = 429


class TooManyTries(IocmngError):
    """Too many calls with wrong credentials have come from the caller's address, or from all addresses together.

    Attributes:
        retry_after: Seconds after which a wrong credential is answered 401 again; a right one is taken at once.
    """

    code = "too-many-tries"
    http_status = 429

    def __init__(self, message: str = "", *, failures: Sequence[CheckFailure] = (), retry_after: int = 60) -> None:
        super().__init__(message, failures=failures)
        self.retry_after = retry_after


class SourceUnavailable(IocmngError):
    """The repository cannot be fetched: unreachable, unknown, or access was refused."""

    code = "source-unavailable"
    http_status = 502

    @classmethod
    def because(cls, message: str) -> SourceUnavailable:
        """Make the error with its entry for the clone step."""
        return cls(f"clone: {message}", failures=[CheckFailure("clone", message)])


class PluginCrashed(IocmngError):
    """The plugin's process ended by itself."""

    code = "plugin-crashed"
    http_status = 502


class ServerUnavailable(IocmngError):
    """The Controller cannot be reached."""

    code = "server-unavailable"
    http_status = 503


class StateUnavailable(ServerUnavailable):
    """The state cannot be read or written: a full disk, a damaged file, a database that is down."""

    code = "state-unavailable"


class ServerUnreachable(ServerUnavailable):
    """A client of the REST API gets no answer from the server."""

    code = "server-unreachable"


class NoPorts(IocmngError):
    """No two ports of the range for IOCs are free on the plugin's node."""

    code = "no-ports"
    http_status = 503


class TimedOut(IocmngError):
    """Something took longer than its limit."""

    code = "timed-out"
    http_status = 504


class AuthorError(IocmngError):
    """Base of the errors that belong to a plugin's own code."""

    code = "author-error"


class TemporaryError(AuthorError):
    """Raised by an author: this cycle failed, try again later.

    Attributes:
        delay: Seconds until the next try; None leaves it to the usual back-off.
    """

    code = "temporary-error"

    def __init__(self, message: str = "", *, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class PermanentError(AuthorError):
    """Raised by an author: trying again is of no use; the task stays in ERROR until it is started again."""

    code = "permanent-error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class Cancelled(AuthorError):
    """Raised by map(), or by an author who has looked at `self.cancelled`: the run was asked to end early."""

    code = "cancelled"

    def __init__(self, message: str = "cancelled") -> None:
        super().__init__(message)


class ItemFailed(AuthorError):
    """Raised by map(): the function raised for an item, or its process ended, or something could not be sent.

    Attributes:
        index: Place of the item among all, from 0.
    """

    code = "item-failed"

    def __init__(self, message: str = "", *, index: int = 0) -> None:
        super().__init__(message)
        self.index = index


class UnknownPv(AuthorError):
    """set_pv or get_pv was called with a name that the plugin does not declare."""

    code = "unknown-pv"


class PvValueError(AuthorError):
    """A value does not fit the record it is meant for."""

    code = "pv-value"
