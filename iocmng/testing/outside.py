"""FakePvClient: the PVs of other IOCs, as a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iocmng.errors import TimedOut


class FakePvClient:
    """What `pv_client` reads and writes in a test.

    Attributes:
        values: The PVs there are, by full name, with their values. One that is not in it does not answer.
        puts: What was written, in its order, as pairs of name and value.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = dict(values or {})
        self.puts: list[tuple[str, Any]] = []

    def get(self, pv_name: str, timeout: float) -> Any:
        """Return the value of a PV.

        Raises:
            TimedOut: If there is none of this name; a real client would wait `timeout` seconds for that.
        """
        self._check(pv_name, timeout)
        return self.values[pv_name]

    def put(self, pv_name: str, value: Any, timeout: float) -> None:
        """Write a PV.

        Raises:
            TimedOut: If there is none of this name.
        """
        self._check(pv_name, timeout)
        self.values[pv_name] = value
        self.puts.append((pv_name, value))

    def _check(self, pv_name: str, timeout: float) -> None:
        if pv_name not in self.values:
            raise TimedOut(
                f"{pv_name} did not answer within {timeout:g} s; in this test there are only the PVs that "
                "FakePvClient.values names"
            )
