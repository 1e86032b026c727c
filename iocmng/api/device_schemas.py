"""What GET /devices answers."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from iocmng.api.schemas import Answer


class DeviceEntry(Answer):
    """One ophyd device."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: str
    """What get_device() is asked for."""
    ioc: str | None
    """The IOC that serves its PVs; null for one that values.yaml does not describe."""
    prefix: str
    """What stands before each of its PVs."""
    device_class: str | None = Field(alias="class")
    """Its Python class; null while no plugin has made it and values.yaml does not name one."""
    devgroup: str | None
    devtype: str | None
    created_by: list[str]
    """Plugins whose process has made it."""


class DeviceList(Answer):
    """The beamline's ophyd devices, and those that plugins have made besides."""

    devices: list[DeviceEntry]
    count: int
    enabled: bool
    """Whether ophyd devices are switched on; see IOCMNG_DISABLE_OPHYD."""
    problems: list[str]
    """What in values.yaml could not be used."""
    available: list[str]
    """Names of those that values.yaml describes, as older servers listed them."""
    available_count: int
    created: list[str]
    """Names of those that a plugin has made, as older servers listed them."""
    created_count: int
