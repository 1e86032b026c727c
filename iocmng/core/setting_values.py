"""Checks of single settings that take more than a line; each returns the value or raises ValueError with a sentence."""

from __future__ import annotations

import ipaddress


def check_node_address(value: str) -> str:
    """Check the address that a node of a cluster has for the others."""
    if value == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IP address") from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{value} is no address of one machine: give that on which the other nodes reach this one")
    return value
