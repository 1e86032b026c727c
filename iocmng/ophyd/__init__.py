"""The only room that imports ophyd, ophyd-async and infn_ophyd_hal, and only once a plugin asks for a device."""

from iocmng.ophyd.provider import OphydDevices, device_provider

__all__ = ["OphydDevices", "device_provider"]
