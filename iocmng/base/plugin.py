"""What tasks and jobs have in common."""

from __future__ import annotations

import abc
import datetime
import difflib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, SupportsIndex, TypeVar

from iocmng.base.board import StatusBoard
from iocmng.base.devices import PluginDevices
from iocmng.base.local_mapper import LocalMapper
from iocmng.base.mapping import MapCall, check_portable
from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.devices import DeviceClass, DeviceWish
from iocmng.core.ports.plugin import Mapper, PvServer
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.errors import AuthorError, UnknownPv

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the process that runs a plugin gives it."""

    name: str
    pv_prefix: str
    mode: Mode
    parameters: Mapping[str, Any]
    pv_names: frozenset[str]
    pvs: PvServer
    board: StatusBoard
    logger: logging.Logger
    mapper: Mapper = field(default_factory=LocalMapper)
    devices: PluginDevices = field(default_factory=PluginDevices)
    typed_parameters: Any = None


class LocalPv:
    """One PV of the plugin itself."""

    def __init__(self, server: PvServer, name: str) -> None:
        self._server = server
        self.name = name

    def get(self) -> PvValue:
        """Return the value."""
        return self._server.get(self.name)

    def set(self, value: Any, severity: Severity | str | None = None) -> None:
        """Set the value and, if given, the alarm severity: NO_ALARM, MINOR, MAJOR or INVALID."""
        self._server.put(self.name, value, Severity(severity) if severity is not None else None)


class LocalPvs(Mapping[str, LocalPv]):
    """The plugin's PVs by name, without prefix."""

    def __init__(self, server: PvServer, names: frozenset[str]) -> None:
        self._pvs = {name: LocalPv(server, name) for name in sorted(names)}

    def __getitem__(self, name: str) -> LocalPv:
        return self._pvs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pvs)

    def __len__(self) -> int:
        return len(self._pvs)


class PluginBase(abc.ABC):
    """Base of TaskBase and JobBase; authors subclass one of those.

    The framework gives the plugin its name, parameters and PVs before `__init__` runs, so an author's `__init__` may
    use them and need not call this one.

    Attributes:
        name: The name under which the plugin was added.
        parameters: Parameters of config.yaml with those of the add laid over them, and the defaults of declared ones.
        typed_parameters: The instance of the class's pydantic model of its parameters; None where it has none.
        logger: A logger whose lines GET /plugins/{name}/logs shows.
        pvs: The plugin's PVs by name, without prefix.
        pv_prefix: What stands before each PV's name, without the last colon.
    """

    kind: ClassVar[Kind]

    name: str
    parameters: dict[str, Any]
    typed_parameters: Any
    logger: logging.Logger
    pvs: Mapping[str, LocalPv]
    pv_prefix: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: B027
        """Take and ignore arguments: plugins written for older releases pass some on."""

    def bind_runtime(self, runtime: Runtime) -> None:
        """Give the plugin what its process has for it; the framework calls this before `__init__`."""
        self._runtime = runtime
        self.name = runtime.name
        self.parameters = dict(runtime.parameters)
        self.typed_parameters = runtime.typed_parameters
        self.logger = runtime.logger
        self.pv_prefix = runtime.pv_prefix
        self.pvs = LocalPvs(runtime.pvs, runtime.pv_names)

    @abc.abstractmethod
    def initialize(self) -> None:
        """Prepare; the PVs are already served."""

    @abc.abstractmethod
    def execute(self) -> Any:
        """Do the work."""

    def set_pv(self, pv_name: str, value: Any, severity: Severity | str | None = None) -> None:
        """Set one of the plugin's PVs.

        Args:
            pv_name: Name as in config.yaml, without prefix.
            value: A value that fits the PV's type; texts too long for a record are cut with a mark.
            severity: Alarm severity to show with the value: NO_ALARM, MINOR, MAJOR or INVALID.

        Raises:
            UnknownPv: If no PV has this name.
            PvValueError: If the value does not fit.
        """
        self._pv(pv_name).set(value, severity)

    def get_pv(self, pv_name: str) -> PvValue:
        """Return the value of one of the plugin's PVs.

        Raises:
            UnknownPv: If no PV has this name.
        """
        return self._pv(pv_name).get()

    set_output = set_input = set_pv
    get_output = get_input = get_pv

    def set_message(self, message: str) -> None:
        """Show a message: whole in the REST status, in MESSAGE as much as the record holds."""
        self._runtime.board.show(message=str(message))

    def set_status(self, status: str) -> None:
        """Show a state in STATUS, by its name.

        Raises:
            PvValueError: If STATUS has no such state.
        """
        self._runtime.board.show(state=status.upper())

    def map(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        *,
        max_parallel: int | None = None,
        progress: tuple[float, float] | None = (0.0, 1.0),
    ) -> list[_Result]:
        """Call a function with each item, on all CPUs of the cluster, and return the results in the items' order.

        The function runs in other processes, which have the plugin's modules but not the plugin itself: it must not use
        `self`. What it logs stands in the plugin's log. Where there is no cluster (`iocmng run`, tests), the items run
        here, one after the other. A job shows the progress of a map() over items that have a length.

        Args:
            function: Called with one item; a function of a module, a staticmethod, a lambda or a functools.partial.
            items: Taken one by one as there is a place for them. Items and results must be such as pickle takes.
            max_parallel: How many may run at the same time; None is as many as the cluster has CPUs.
            progress: The part of the run's progress that this map() stands for, as fractions; None shows none.

        Raises:
            Cancelled: If the run is cancelled, or the task is stopped, meanwhile; what has begun is ended.
            ItemFailed: If the function raises for an item, or its process ends; the others are given up.
            AuthorError: If the function cannot run in another process.
        """
        check_portable(function, PluginBase)

        def show(done: float) -> None:
            if progress is not None:
                self._show_progress(progress[0] + (progress[1] - progress[0]) * done)

        call = MapCall(self._runtime.mapper, self.logger, self._is_to_end, show)
        return call.run(function, items, max_parallel)

    def _is_to_end(self) -> bool:
        """Tell whether the work that goes on now is to end early."""
        return False

    def _show_progress(self, fraction: float) -> None:  # noqa: B027
        """Show how far the work is, where the plugin has a place to show it."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled: what is sent to another process must not take the plugin along."""
        raise AuthorError(
            f"{type(self).__name__} cannot leave its process: what map() sends elsewhere must not refer to `self`"
        )

    def link_put(self, key: str, value: Any, timeout: float = 5.0) -> None:
        """Write the PV that an input or output is linked to.

        Raises:
            AuthorError: If it has no link.
        """
        raise AuthorError(f"{key} has no link, so {value!r} cannot be written through it within {timeout} s")

    def get_device(self, device_name: str, timeout: float | None = None) -> Any | None:
        """Return an ophyd device of the beamline's values.yaml, or None where there is none of this name.

        It is made at the first call, in the plugin's own process, and is the same one from then on.

        Args:
            device_name: Its name.
            timeout: Seconds that it may take to connect to its IOC; None takes IOCMNG_DEVICE_TIMEOUT. With 0 it is
                returned at once, connected or not.

        Raises:
            TimedOut: If its IOC does not answer; the next call tries again.
            AuthorError: If it cannot be made, because a package is missing, say.
        """
        return self._runtime.devices.get(device_name, timeout)

    def list_devices(self) -> list[str]:
        """Return the names of the ophyd devices: those of values.yaml, and those that create_device() has made."""
        return self._runtime.devices.names()

    def create_device(
        self,
        prefix: str,
        devgroup: str | None = None,
        devtype: str | None = None,
        name: str | None = None,
        cache: bool = True,
        *,
        device_class: DeviceClass | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Make an ophyd device: one of values.yaml by its name, or any other by its PV prefix and what it is.

        Args:
            prefix: What stands before each of its PVs; or the name of a device of values.yaml, and what is given
                besides replaces what stands there.
            devgroup: What kind of device infn_ophyd_hal shall make: mot, mag, diag, vac, io.
            devtype: Which of that kind.
            name: Its name; else the last segment of the prefix.
            cache: Whether the same call returns the same device again, and get_device() knows it.
            device_class: Its class, or the dotted path of it: ophyd, ophyd-async or a class of your own.
            parameters: Keyword arguments of that class.
            timeout: See get_device().

        Raises:
            TimedOut: If its IOC does not answer; the next call tries again.
            AuthorError: If it cannot be made, or ophyd devices are switched off.
        """
        wish = DeviceWish(prefix, devgroup, devtype, name, device_class, dict(parameters or {}))
        return self._runtime.devices.create(wish, timeout, cache)

    def run_async(self, call: Awaitable[Any] | Callable[[], Awaitable[Any]], timeout: float | None = None) -> Any:
        """Await a coroutine of an ophyd-async device in the devices' event loop, and return what it returns.

        Args:
            call: A coroutine, as `self.run_async(motor.user_readback.get_value())`; or a function without arguments
                that returns something to await, for what must begin inside the loop:
                `self.run_async(lambda: motor.set(3.0), timeout=30)`.
            timeout: Seconds after which it is cancelled; None waits for ever.

        Raises:
            TimedOut: If it takes longer.
            AuthorError: If ophyd devices are switched off.
        """
        return self._runtime.devices.run_async(call, timeout)

    @staticmethod
    def get_datetime() -> str:
        """Return the local date and time with milliseconds, as in 2026-01-31 13:45:00.125."""
        return datetime.datetime.now().isoformat(sep=" ", timespec="milliseconds")

    @staticmethod
    def get_timems() -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    def _pv(self, pv_name: str) -> LocalPv:
        try:
            return self.pvs[pv_name]
        except KeyError:
            close = difflib.get_close_matches(pv_name, self.pvs, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"declared are {', '.join(self.pvs)}"
            raise UnknownPv(f"{self.name} has no PV {pv_name!r}; {hint}") from None
