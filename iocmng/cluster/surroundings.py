"""What a plugin's process is told of the site when it gets its plugin."""

from __future__ import annotations

from dataclasses import dataclass

from iocmng.core.devices import DeviceTable
from iocmng.loading.confinement import Owner
from iocmng.settings import Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The site, as one plugin finds it.

    Attributes:
        prefix: PREFIX of all PVs.
        settings: Settings of the server, without secrets.
        devices: The ophyd devices of the beamline.
        access: EPICS access security of the site's IOCs, as the text of its file.
        owner: The user as which the plugin runs; None: the server's.
    """

    prefix: str
    settings: Settings
    devices: DeviceTable
    access: str
    owner: Owner | None
