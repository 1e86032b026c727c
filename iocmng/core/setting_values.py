"""How values of settings are read that are written in a form of their own."""

from __future__ import annotations

import re
from typing import Any

_UIDS = re.compile(r"(\d{1,10})\s*-\s*(\d{1,10})", re.ASCII)
_UMASK = re.compile(r"0?[0-7]{3}", re.ASCII)
_LAST_UID = 2**31 - 2


def check_umask(value: Any) -> Any:
    """Return a umask, as three octal digits or more.

    Raises:
        ValueError: If it is none. A number of a YAML file is one, too: nobody can tell in which base it was meant.
    """
    if not isinstance(value, str) or not _UMASK.fullmatch(value.strip()):
        raise ValueError("must be three octal digits such as 077 or 027, in quotes where it stands in a file")
    return value.strip()


def read_uids(value: Any) -> Any:
    """Return the first and the last of the user numbers that a text such as 60100-60199 stands for.

    Raises:
        ValueError: If it stands for none, or for root.
    """
    if not isinstance(value, str):
        return value
    match = _UIDS.fullmatch(value.strip())
    if match is None:
        raise ValueError("must be the first and the last user number, such as 60100-60199")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= _LAST_UID:
        raise ValueError(f"must go upwards within 1-{_LAST_UID}; 0 is root")
    return first, last
