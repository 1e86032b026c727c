"""What the calls about PVs answer."""

from __future__ import annotations

from iocmng.api.schemas import Answer


class PvEntry(Answer):
    """One record and where it is served; host and ports are null while the IOC is down."""

    name: str
    plugin: str
    type: str
    """Record type: ao, ai, bo, …"""
    direction: str
    alias: str | None
    """A further name of the record, with underscores for the hyphens of the plugin's name; null: none."""
    host: str | None
    ca_port: int | None
    pva_port: int | None


class PvList(Answer):
    """Records of all plugins, or of one."""

    pvs: list[PvEntry]
    count: int


class NameServer(Answer):
    """The IOC of one plugin, as clients reach it."""

    plugin: str
    node: str
    host: str
    """The node's public host, if it or the site has one, else its address."""
    ca_port: int
    pva_port: int


class NameServers(Answer):
    """What a client sets that no broadcast reaches."""

    EPICS_CA_NAME_SERVERS: str
    """HOST:PORT of each IOC, separated by blanks."""
    EPICS_PVA_NAME_SERVERS: str
    """The same for PV Access."""
    servers: list[NameServer]
    """Whose they are; a plugin whose IOC is down is not among them."""
    count: int
