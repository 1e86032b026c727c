"""Plugin names, PV names, and the only rule for the prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from iocmng.errors import InvalidRequest

PLUGIN_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
PV_SEGMENT_PATTERN = r"^[A-Za-z0-9_-]+$"
PV_SEGMENTS_PATTERN = r"^[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*$"

MAX_RECORD_NAME_LENGTH = 60
"""Characters. EPICS Base's PVNAME_SZ is 61, the terminating zero included (dbDefs.h)."""

_PLUGIN_NAME = re.compile(PLUGIN_NAME_PATTERN.removesuffix("$") + r"\Z")
_PV_SEGMENT = re.compile(PV_SEGMENT_PATTERN.removesuffix("$") + r"\Z")


def check_plugin_name(name: str) -> str:
    """Return the name if it is a legal plugin name.

    Raises:
        InvalidRequest: If it is not.
    """
    if not _PLUGIN_NAME.match(name):
        raise InvalidRequest(
            f"plugin name {name[:140]!r} is not allowed: use 1 to 128 letters, digits, '_' and '-', "
            "beginning with a letter or a digit"
        )
    return name


def is_pv_segment(text: str) -> bool:
    """Tell whether the text can stand between two colons of a PV name."""
    return bool(_PV_SEGMENT.match(text))


def check_prefix(prefix: str) -> str:
    """Return a prefix of one or more segments, joined by colons, if it is legal.

    Raises:
        InvalidRequest: If a segment is empty or has a character that a record name must not have.
    """
    if not all(is_pv_segment(segment) for segment in prefix.split(":")):
        raise InvalidRequest(
            f"PV prefix {prefix[:80]!r} is not allowed: segments of letters, digits, '_' and '-', joined by ':'"
        )
    return prefix


def site_prefix(configured: str | None, beamline_config: Mapping[str, Any]) -> str:
    """Return the PREFIX of all PV names of this server.

    The configured prefix (IOCMNG_PREFIX) wins; else BEAMLINE:NAMESPACE from the beamline file, in upper case, one of
    them where they are equal; else BEAMLINE:DEFAULT.
    """
    if configured:
        return check_prefix(configured)
    beamline = str(beamline_config.get("beamline") or "BEAMLINE").upper()
    namespace = str(beamline_config.get("namespace") or "DEFAULT").upper()
    return check_prefix(beamline if beamline == namespace else f"{beamline}:{namespace}")


def plugin_segment(name: str, configured: str | None) -> str:
    """Return the PLUGIN segment: config.yaml's `prefix`, else the plugin's name in upper case, hyphens kept."""
    return configured or name.upper()


def plugin_pv_prefix(site: str, name: str, configured: str | None) -> str:
    """Return PREFIX:PLUGIN for one plugin."""
    return f"{site}:{plugin_segment(name, configured)}"


def underscored_pv_prefix(site: str, name: str) -> str | None:
    """Return PREFIX:PLUGIN as the screens generated for 2.x have it: '_' for each hyphen, `prefix` not looked at.

    None for a name without hyphens, whose screens need nothing of the kind.
    """
    return f"{site}:{name.upper().replace('-', '_')}" if "-" in name else None


def alias_of(pv_prefix: str, alias_prefix: str | None, pv_name: str) -> str | None:
    """Return the further name of a record; None where there is none, or where EPICS could not take it."""
    if alias_prefix in (None, pv_prefix):
        return None
    alias = f"{alias_prefix}:{pv_name}"
    return alias if len(alias) <= MAX_RECORD_NAME_LENGTH else None


def record_name(pv_prefix: str, pv_name: str) -> str:
    """Return the full record name of a PV."""
    return f"{pv_prefix}:{pv_name}"
