"""From a declared PV to a softioc record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iocmng.core.pv_access import group_of
from iocmng.core.pv_fields import Alarms, Direction, PvValue
from iocmng.core.pvs import BoolPv, DeclaredPv, EnumPv, FloatPv, IntPv, StringPv

_STATE_PREFIXES = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")


def record_type(declared: DeclaredPv) -> str:
    """Return the EPICS record type of a declared PV."""
    types = {FloatPv: "ao ai", IntPv: "longout longin", BoolPv: "bo bi", StringPv: "stringout stringin"}
    out, in_ = types.get(type(declared.pv), "mbbo mbbi").split()
    return out if declared.direction is Direction.INPUT else in_


def make_record(builder: Any, declared: DeclaredPv, on_put: Callable[[PvValue], None]) -> Any:
    """Create the record of a declared PV.

    Inputs become output records (ao, bo, …), because clients write them; outputs become input records (ai, bi, …),
    which access security keeps from clients by their group. Their DISP field would not: a client can clear it.

    Args:
        builder: softioc's builder, with the device name set.
        declared: The PV.
        on_put: Called with the value of each put, by a client or by ourselves.
    """
    is_input = declared.direction is Direction.INPUT
    fields = _common_fields(declared)
    if is_input:
        fields |= {"on_update": on_put, "always_update": True, "PINI": "YES"}
    else:
        fields |= {"SCAN": "Passive", "DISP": 0}
    match declared.pv:
        case FloatPv() as pv:
            make = builder.aOut if is_input else builder.aIn
            return make(declared.name, PREC=pv.prec, **_number_fields(pv, is_input), **fields)
        case IntPv() as pv:
            make = builder.longOut if is_input else builder.longIn
            return make(declared.name, **_number_fields(pv, is_input), **fields)
        case BoolPv() as pv:
            make = builder.boolOut if is_input else builder.boolIn
            severity = {"OSV": pv.alarm_on} if pv.alarm_on else {}
            return make(declared.name, ZNAM=pv.znam, ONAM=pv.onam, **severity, **fields)
        case StringPv():
            make = builder.stringOut if is_input else builder.stringIn
            return make(declared.name, **fields)
        case EnumPv() as pv:
            make = builder.mbbOut if is_input else builder.mbbIn
            return make(declared.name, **_state_fields(pv), **fields)


def _common_fields(declared: DeclaredPv) -> dict[str, Any]:
    fields: dict[str, Any] = {"initial_value": declared.pv.coerce(declared.pv.value), "ASG": group_of(declared)}
    if declared.pv.desc:
        fields["DESC"] = declared.pv.desc
    return fields


def _number_fields(pv: FloatPv | IntPv, is_input: bool) -> dict[str, Any]:
    candidates: dict[str, Any] = {"EGU": pv.unit or None, "LOPR": pv.low, "HOPR": pv.high}
    if is_input:
        candidates |= {"DRVL": pv.drive_low, "DRVH": pv.drive_high}
    fields = {name: value for name, value in candidates.items() if value is not None}
    return fields | _alarm_fields(pv.alarms)


def _alarm_fields(alarms: Alarms | None) -> dict[str, Any]:
    if alarms is None:
        return {}
    limits = {
        "HIHI": (alarms.hihi, "HHSV", alarms.hihi_severity),
        "HIGH": (alarms.high, "HSV", alarms.high_severity),
        "LOW": (alarms.low, "LSV", alarms.low_severity),
        "LOLO": (alarms.lolo, "LLSV", alarms.lolo_severity),
    }
    fields: dict[str, Any] = {"HYST": alarms.hysteresis} if alarms.hysteresis else {}
    for limit_field, (limit, severity_field, severity) in limits.items():
        if limit is not None:
            fields |= {limit_field: limit, severity_field: severity.value}
    return fields


def _state_fields(pv: EnumPv) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for number, (prefix, state) in enumerate(zip(_STATE_PREFIXES, pv.states, strict=False)):
        fields |= {f"{prefix}ST": state, f"{prefix}VL": number}
        if state in pv.state_severities:
            fields[f"{prefix}SV"] = pv.state_severities[state].value
    return fields
