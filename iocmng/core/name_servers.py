"""What clients need that no broadcast reaches: the values of EPICS_CA_NAME_SERVERS and EPICS_PVA_NAME_SERVERS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from iocmng.core.port_range import PortRange

CA_VARIABLE = "EPICS_CA_NAME_SERVERS"
PVA_VARIABLE = "EPICS_PVA_NAME_SERVERS"


def name_servers(
    plugins: Iterable[Mapping[str, Any]],
    public_host: str | None = None,
    ports: PortRange | None = None,
    *,
    inside: bool = False,
) -> dict[str, Any]:
    """Return both lists for the plugins whose IOCs answer, and who is behind each address.

    Args:
        plugins: Plugin objects.
        public_host: Where clients reach the nodes that have no such host of their own; None: at the node's address.
        ports: List all ports of this range on each of the nodes, so that the lists hold when plugins move.
        inside: List the nodes at their own addresses, for clients in their network.
    """
    servers = [_server(plugin, public_host, inside) for plugin in plugins if plugin.get("endpoint")]
    # A dictionary as a set that keeps the order.
    addresses = dict.fromkeys((server["host"], server["ca_port"], server["pva_port"]) for server in servers)
    if ports is not None:
        hosts = {host for host, _, _ in addresses}
        # In an order that does not tell which ones are taken, so that the lists change with the nodes alone.
        addresses = dict.fromkeys(
            sorted(addresses.keys() | {(host, *pair) for host in hosts for pair in ports.all_pairs()})
        )
    return {
        CA_VARIABLE: " ".join(f"{host}:{ca_port}" for host, ca_port, _ in addresses),
        PVA_VARIABLE: " ".join(f"{host}:{pva_port}" for host, _, pva_port in addresses),
        "servers": servers,
        "count": len(servers),
    }


def environment_lines(told: Mapping[str, Any]) -> list[str]:
    """Return the lists as lines that a shell and systemd's EnvironmentFile read alike."""
    return [f'{name}="{told[name]}"' for name in (CA_VARIABLE, PVA_VARIABLE)]


def _server(plugin: Mapping[str, Any], public_host: str | None, inside: bool) -> dict[str, Any]:
    endpoint = plugin["endpoint"]
    public = None if inside else endpoint.get("public_host") or public_host
    return {
        "plugin": plugin["name"],
        "node": plugin["node"],
        "host": public or endpoint["host"],
        "ca_port": endpoint["ca_port"],
        "pva_port": endpoint["pva_port"],
    }
