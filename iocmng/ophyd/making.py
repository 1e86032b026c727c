"""Makes a device from its description: by infn_ophyd_hal's factory, or from any class by its dotted path."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import epicscorelibs.path

from iocmng.core.devices import DeviceClass, DeviceSpec
from iocmng.errors import AuthorError, IocmngError, TimedOut

HAL = "infn_ophyd_hal"

_PACKAGES = {
    "ophyd": "pip install iocmng[ophyd]",
    "ophyd_async": "pip install iocmng[ophyd]",
    "epics": "pip install iocmng[ophyd]",
    "aioca": "pip install iocmng[ophyd]",
    HAL: "pip install iocmng[ophyd]",
}


def make_device(spec: DeviceSpec, timeout: float) -> Any:
    """Return a new device; it need not be connected yet.

    Args:
        spec: What to make.
        timeout: Seconds that a PV may take to connect to which the class's own constructor talks.

    Raises:
        TimedOut: If its class waits for its IOC, and that does not answer.
        AuthorError: If a package or the class is missing, or the class refuses.
    """
    is_theirs = "ophyd" in sys.modules
    try:
        make = _maker(spec)
        if not is_theirs:
            _set_patience(timeout)
        return make()
    except IocmngError as error:
        raise type(error)(f"{spec} cannot be made: {error}") from error
    except TimeoutError as error:
        _destroy_half_made(error, spec)
        raise TimedOut(
            f"{spec} cannot be made: its class waits for PVs that do not answer ({error}); is its IOC up, and in "
            "reach of this machine?"
        ) from error
    except Exception as error:  # boundary: the code of whoever wrote the class
        _destroy_half_made(error, spec)
        raise AuthorError(f"{spec} cannot be made: {type(error).__name__}: {error}") from error


def _maker(spec: DeviceSpec) -> Callable[[], Any]:
    """Return what makes the device; everything that it needs is imported."""
    if spec.device_class is not None:
        return partial(_construct, _find_class(spec.device_class), spec)
    return partial(_make_by_hal, _import(f"{HAL}.device_factory").DeviceFactory(), spec)


def _set_patience(timeout: float) -> None:
    """Set ophyd's own time for a connection, 1 s, to the site's, if ophyd has just been imported.

    Classes of infn_ophyd_hal read PVs in their constructors: behind a slow gateway they would never come to an end. A
    plugin that imports ophyd itself may have set it as it likes.
    """
    ophyd = sys.modules.get("ophyd")
    if ophyd is not None:
        ophyd.signal.EpicsSignalBase.set_defaults(connection_timeout=timeout)


def use_one_libca() -> None:
    """Have pyepics use the libca of this process's IOC, whatever the site's environment says.

    A second one would be loaded beside it, and the dynamic linker would mix the two.
    """
    os.environ["PYEPICS_LIBCA"] = epicscorelibs.path.get_lib("ca")


def _destroy_half_made(error: BaseException, spec: DeviceSpec) -> None:
    """Let go of the PVs of a device whose constructor has failed.

    Nobody has the object then, but its PVs go on holding it: a task that tries again in every cycle would grow by 20 kB
    each time. The frames of the constructor still know it.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        device: Any = frame.f_locals.get("self")
        if getattr(device, "prefix", None) == spec.prefix and callable(getattr(device, "destroy", None)):
            with contextlib.suppress(Exception):  # the first error is the one to tell
                device.destroy()
            return


def _find_class(device_class: DeviceClass) -> Callable[..., Any]:
    if not isinstance(device_class, str):
        return device_class
    module_name, _, name = device_class.rpartition(".")
    if not module_name:
        raise AuthorError(f"{device_class!r} is no dotted path such as package.module.Class")
    module = _import(module_name)
    found = getattr(module, name, None)
    if callable(found):
        return found
    close = difflib.get_close_matches(name, dir(module), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise AuthorError(f"the module {module_name} has no class {name}{hint}")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name or name)
        root = missing.partition(".")[0]
        remedy = _PACKAGES.get(root, "name its package in the plugin's requirements.txt")
        raise AuthorError(f"the Python module {missing} is not installed where the plugin runs: {remedy}") from error


def _construct(maker: Callable[..., Any], spec: DeviceSpec) -> Any:
    """Call the class: with the prefix by its name, or where there is none of this name as the first argument."""
    try:
        wanted = inspect.signature(maker).parameters
    except (TypeError, ValueError):  # some classes of C have none
        return maker(spec.prefix, name=spec.name, **spec.parameters)
    kinds = {parameter.kind for parameter in wanted.values()}
    arguments: tuple[str, ...] = ()
    named = dict(spec.parameters)
    if "prefix" in wanted:
        named.setdefault("prefix", spec.prefix)
    elif kinds & {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}:
        arguments = (spec.prefix,)
    if "name" in wanted or inspect.Parameter.VAR_KEYWORD in kinds:
        named.setdefault("name", spec.name)
    return maker(*arguments, **named)


class _LastError(logging.Handler):
    """Keeps the exception that infn_ophyd_hal's factory logs where it returns None."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.error = record.exc_info[1]


def _make_by_hal(factory: Any, spec: DeviceSpec) -> Any:
    said = _LastError()
    factory.logger = logging.Logger(f"iocmng.{HAL}")
    factory.logger.addHandler(said)
    # It looks for the type in the config first; what create_device() was given has to win.
    config = {**spec.config, **spec.parameters} | ({"devtype": spec.devtype} if spec.devtype else {})
    device = factory.create_device(spec.devgroup, spec.devtype, spec.prefix, spec.name, config)
    if device is not None:
        return device
    if said.error is not None:
        raise said.error
    raise AuthorError(
        f"infn_ophyd_hal has no class for devgroup {spec.devgroup!r} and devtype {spec.devtype!r}; "
        f"{_supported(factory.get_supported_types(), spec.devgroup)}. Any other class can be named with "
        "`class: package.module.Class`"
    )


def _supported(types: list[tuple[str, str]], devgroup: str | None) -> str:
    of_group = sorted(devtype for group, devtype in types if group == devgroup)
    if of_group:
        return f"of {devgroup} it has {', '.join(of_group)}"
    return f"its groups are {', '.join(sorted({group for group, _ in types}))}"
