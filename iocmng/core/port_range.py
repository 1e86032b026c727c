"""The TCP ports that IOCs may take, two for each: one for Channel Access, the next for PV Access."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

LOWEST_PORT = 1024
"""Below it, only root may listen."""

_RANGE = re.compile(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*\Z")

PortPair = tuple[int, int]
"""The CA and the PVA port of an IOC."""


@dataclass(frozen=True, slots=True)
class PortRange:
    """A range of TCP ports.

    Attributes:
        first: The lowest.
        last: The highest.
    """

    first: int
    last: int

    @classmethod
    def of(cls, text: str) -> PortRange:
        """Return the range that a text such as 5100-5199 names.

        Raises:
            ValueError: If it names none, or one with no room for an IOC.
        """
        match = _RANGE.match(text)
        if match is None:
            raise ValueError(f"{text[:40]!r} is no range of ports; write FIRST-LAST, such as 5100-5199")
        first, last = int(match[1]), int(match[2])
        if not LOWEST_PORT <= first < last <= 65535:
            raise ValueError(
                f"ports {first}-{last} are no range for IOCs: from {LOWEST_PORT} to 65535, and two for each IOC"
            )
        return cls(first, last)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @property
    def pairs(self) -> int:
        """IOCs for which there is room."""
        return (self.last - self.first + 1) // 2

    def all_pairs(self) -> Iterator[PortPair]:
        """Yield all pairs, the lowest first."""
        for ca in range(self.first, self.last, 2):
            yield ca, ca + 1

    def has(self, pair: PortPair) -> bool:
        """Tell whether a pair is one of this range."""
        ca, pva = pair
        return pva == ca + 1 and (ca - self.first) % 2 == 0 and self.first <= ca < self.last

    def candidates(self, name: str, before: PortPair | None) -> Iterator[PortPair]:
        """Yield all pairs in the order in which an IOC is to try them.

        First the one that it had before, then from a place that its name decides, so that a site sees the same ports
        again after everything has been started anew.
        """
        if before is not None and self.has(before):
            yield before
        begin = crc32(name.encode())
        for step in range(self.pairs):
            ca = self.first + 2 * ((begin + step) % self.pairs)
            if (ca, ca + 1) != before:
                yield ca, ca + 1
