"""From the values of p4p and cothread, which carry alarms and time stamps, to plain ones."""

from __future__ import annotations

from typing import Any, cast

import numpy


def plain(value: Any) -> Any:
    """Return a value of PV Access or Channel Access as Python has it, the same for both.

    A number becomes a float or an int, text a str, an enum the int of its state, true or false a bool, an array of
    numbers a numpy array, one of texts a list. A structure becomes a dictionary.
    """
    match value:
        case numpy.ndarray():
            array = numpy.array(cast("numpy.ndarray[Any, Any]", value), subok=False)
            return [str(item) for item in array] if array.dtype.kind in "SUO" else array
        case bool() | numpy.bool_():
            return bool(value)
        case int() | numpy.integer():
            # p4p's truth value is an int of its own, as Python's cannot be derived from.
            return bool(value) if type(value).__name__ == "ntbool" else int(cast("int", value))
        case float() | numpy.floating():
            return float(cast("float", value))
        case str():
            return str.__str__(value)
        case list() | tuple():
            return [plain(item) for item in cast("list[Any]", value)]
        case dict():
            return {str(key): plain(item) for key, item in cast("dict[Any, Any]", value).items()}
        case _:
            return plain(value.todict()) if hasattr(value, "todict") else value
