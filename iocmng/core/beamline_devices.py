"""Reads the devices out of a beamline's values.yaml.

The file belongs to the beamline's charts and holds much that is none of ours: at that nobody looks. What is ours is
checked; an entry that does not fit is left out, and said to be.

    epicsConfiguration:
      iocs:                      a list, each with `name`, or a map by name
        - name: tml-ch1
          template: motor        iocDefaults.motor is laid below this entry
          iocprefix: SPARC:MOT   PVs: iocprefix[:iocroot]:device
          devices: [{name: GUNFLG01}, …]
    iocDefaults:
      motor: {devgroup: mot, devtype: asyn}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from iocmng.core.devices import DeviceSpec, DeviceTable
from iocmng.core.json_values import deep_merge

IOCS = "epicsConfiguration.iocs"

_PREFIX = re.compile(r"[^\s\"'$]+")
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

Entry = dict[str, Any]


class _Unfit(Exception):
    """An entry cannot be used; the text says where and why."""


def read_devices(beamline: Mapping[str, Any]) -> DeviceTable:
    """Return the devices that the contents of a values.yaml describe, with what could not be used.

    A device name that two IOCs have means the first of the two; the other one is called IOC_NAME, as infn_ophyd_hal
    does, and the table's problems name both.
    """
    problems: list[str] = []
    devices: dict[str, DeviceSpec] = {}
    for place, name, entry in _iocs(beamline, problems):
        try:
            for spec in _devices(place, name, _with_defaults(place, entry, beamline.get("iocDefaults")), problems):
                _add(devices, spec, problems)
        except _Unfit as unfit:
            problems.append(str(unfit))
    return DeviceTable(True, devices, tuple(problems))


def _add(devices: dict[str, DeviceSpec], spec: DeviceSpec, problems: list[str]) -> None:
    """Add a device, under another name where its own is taken."""
    first = devices.setdefault(spec.name, spec)
    if first is spec:
        return
    second = replace(spec, name=f"{spec.ioc}_{spec.name}")
    said = f"device {spec.name} of IOC {spec.ioc} has the name of one of IOC {first.ioc}"
    if devices.setdefault(second.name, second) is second:
        problems.append(f"{said}; it is called {second.name}")
    else:
        problems.append(f"{said}, and {second.name} is taken, too; it is left out")


def _iocs(beamline: Mapping[str, Any], problems: list[str]) -> Iterator[tuple[str, str, Entry]]:
    """Return place, name and entry of each IOC."""
    section: Any = beamline.get("epicsConfiguration") or {}
    found = cast("dict[str, Any]", section).get("iocs") if isinstance(section, dict) else section
    try:
        yield from _named(IOCS, found, "IOC", problems)
    except _Unfit as unfit:
        problems.append(str(unfit))


def _named(place: str, found: Any, what: str, problems: list[str]) -> Iterator[tuple[str, str, Entry]]:
    """Return place, name and entry of each item of a list of entries with a name, or of a map of entries by name."""
    match found:
        case None:
            return
        case list():
            items = [(f"{place}[{number}]", None, item) for number, item in enumerate(cast("list[Any]", found))]
        case dict():
            items = [(f"{place}.{key}", key, item) for key, item in cast("dict[Any, Any]", found).items()]
        case _:
            raise _Unfit(f"{place} must be a list or a map, not {_kind(found)}")
    for where, key, item in items:
        try:
            name, entry = _name_and_entry(where, key, item, what)
        except _Unfit as unfit:
            problems.append(str(unfit))
            continue
        if name:  # an empty one stands for a place of a crate that is not used
            yield f"{place}[{name}]" if key is None else where, name, entry


def _name_and_entry(place: str, key: Any, item: Any, what: str) -> tuple[str, Entry]:
    if isinstance(item, str) and key is None:
        return item, {}
    if item is None and key is not None:
        item = {}
    if not isinstance(item, dict):
        raise _Unfit(f"{place} must be a map that describes one {what}, not {_kind(item)}")
    entry = cast("dict[Any, Any]", item)
    name: Any = entry.get("name", key)
    if name is None and "name" not in entry:
        raise _Unfit(f"{place} has no name")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
        raise _Unfit(f"{place}.name must be text, not {_kind(name)}; write it in quotes")
    return "" if name is None else str(name), entry


def _with_defaults(place: str, entry: Entry, defaults: Any) -> Entry:
    """Return the entry with those of its template below it."""
    template = _text(place, entry, "template")
    if template is None or defaults is None:
        return entry
    if not isinstance(defaults, dict):
        raise _Unfit(f"iocDefaults must be a map by template, not {_kind(defaults)}")
    below = cast("dict[str, Any]", defaults).get(template)
    if below is None:
        return entry
    if not isinstance(below, dict):
        raise _Unfit(f"iocDefaults.{template} must be a map, not {_kind(below)}")
    return deep_merge(cast("dict[str, Any]", below), entry)


def _devices(place: str, ioc: str, entry: Entry, problems: list[str]) -> Iterator[DeviceSpec]:
    """Return the devices of one IOC; one without `devices` is one itself."""
    if _is_disabled(entry):
        return
    prefix = ":".join(part for key in ("iocprefix", "iocroot") if (part := _text(place, entry, key)))
    below = {key: value for key, value in entry.items() if key != "devices"} | {"iocname": ioc}
    listed = entry.get("devices")
    if not listed and isinstance(listed, list | dict | None):
        if prefix and (spec := _spec(place, ioc, prefix, below)):
            yield spec
        return
    for where, name, device in _named(f"{place}.devices", listed, "device", problems):
        if _is_disabled(device):
            continue
        try:
            spec = _spec(where, name, f"{prefix}:{name}" if prefix else name, below | device)
        except _Unfit as unfit:
            problems.append(str(unfit))
            continue
        if spec is not None:
            yield spec


def _is_disabled(entry: Entry) -> bool:
    return str(entry.get("disable", False)).lower() == "true"


def _spec(place: str, name: str, prefix: str, config: Entry) -> DeviceSpec | None:
    """Return a device, or None for an entry that does not say what it is: most IOCs are of no interest here."""
    devgroup, path = _text(place, config, "devgroup"), _text(place, config, "class")
    if devgroup is None and path is None:
        return None
    if path is not None and not _CLASS.fullmatch(path):
        raise _Unfit(f"{place}.class must be a dotted path such as package.module.Class, not {path!r}")
    if not _PREFIX.fullmatch(prefix):
        raise _Unfit(f"{place}: {prefix!r} cannot be the beginning of a PV name; see iocprefix, iocroot and name")
    return DeviceSpec(
        name=name,
        prefix=prefix,
        ioc=str(config["iocname"]),
        template=_text(place, config, "template"),
        devgroup=devgroup,
        devtype=_text(place, config, "devtype"),
        device_class=path,
        parameters=_parameters(place, config) if path is not None else {},
        config=config,
    )


def _parameters(place: str, config: Entry) -> dict[str, Any]:
    value = config.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in cast("dict[Any, Any]", value)):
        raise _Unfit(f"{place}.parameters must be a map of the class's keyword arguments, not {_kind(value)}")
    return cast("dict[str, Any]", value)


def _text(place: str, entry: Entry, key: str) -> str | None:
    """Return a text of an entry, or None where there is none."""
    value = entry.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Unfit(f"{place}.{key} must be text, not {_kind(value)}; write it in quotes")
    return str(value)


def _kind(value: Any) -> str:
    match value:
        case dict():
            return "a map"
        case list():
            return "a list"
        case str():
            return f"the text {value!r:.40}"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case _:
            return f"a {type(value).__name__}"
