"""What is known of a beamline's devices: which there are, what each is made of, which plugin has made one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from iocmng.errors import AuthorError

DeviceClass: TypeAlias = str | Callable[..., Any]
"""A class by its dotted path, or the class itself; whatever makes a device will do."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device, as values.yaml or an author describes it.

    Attributes:
        name: What it is asked for by; unique on the beamline.
        prefix: What stands before each of its PVs.
        ioc: Name of the IOC that serves it; None where an author has described it.
        template: The IOC's template, from whose defaults the rest may come.
        devgroup: What kind of device it is, in the words of infn_ophyd_hal: mot, mag, diag, vac, io.
        devtype: Which of that kind.
        device_class: Its class, where that does not follow from devgroup and devtype.
        parameters: Keyword arguments of that class.
        config: Its whole entry, the IOC's below it: what infn_ophyd_hal gives its devices.
    """

    name: str
    prefix: str
    ioc: str | None = None
    template: str | None = None
    devgroup: str | None = None
    devtype: str | None = None
    device_class: DeviceClass | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"device {self.name} (PVs {self.prefix}…{f', IOC {self.ioc}' if self.ioc else ''})"


@dataclass(frozen=True, slots=True)
class DeviceWish:
    """What an author asks create_device() for; see there."""

    prefix: str
    devgroup: str | None = None
    devtype: str | None = None
    name: str | None = None
    device_class: DeviceClass | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class CreatedDevice:
    """A device that a plugin's process has made.

    Attributes:
        class_name: Its class, with the module.
    """

    name: str
    prefix: str
    class_name: str


@dataclass(frozen=True, slots=True)
class DeviceTable:
    """The devices of a beamline by name.

    Attributes:
        enabled: Whether ophyd devices are switched on.
        devices: What values.yaml describes.
        problems: What in values.yaml could not be used, each with its place.
    """

    enabled: bool = False
    devices: Mapping[str, DeviceSpec] = field(default_factory=dict[str, DeviceSpec])
    problems: tuple[str, ...] = ()

    def outline(self) -> DeviceTable:
        """Return the table with what is shown of it, and not what devices are made from."""
        return replace(
            self, devices={name: replace(spec, parameters={}, config={}) for name, spec in self.devices.items()}
        )

    def spec_for(self, wish: DeviceWish) -> DeviceSpec:
        """Return what an author's wish comes to: a device of the table, what is given laid over it, or one of its own.

        Raises:
            AuthorError: If the table does not have it and the wish does not say what it is.
        """
        given = {"devgroup": wish.devgroup, "devtype": wish.devtype, "name": wish.name}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value}
        if wish.device_class is not None:
            changes |= {"device_class": wish.device_class, "parameters": wish.parameters}
        elif wish.parameters:
            changes |= {"parameters": wish.parameters}
        known = self.devices.get(wish.prefix)
        if known is not None:
            return replace(known, **changes) if changes else known
        if not wish.devgroup and wish.device_class is None:
            raise AuthorError(
                f"{self.unknown(wish.prefix)}. To make a device of your own, give its PV prefix together with devgroup "
                "and devtype, or with device_class"
            )
        return replace(DeviceSpec(wish.prefix.rpartition(":")[2], wish.prefix), **changes)

    def unknown(self, name: str) -> str:
        """Return a sentence about a name that the table does not have, without its full stop."""
        close = difflib.get_close_matches(name, self.devices, n=1)
        hint = f"; did you mean {close[0]}?" if close else f", which has {len(self.devices)} devices"
        return f"no device {name!r} in the beamline's values.yaml{hint}"
