"""What the Controller needs to tell its figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from iocmng.core.tally import Sample


class Meters(Protocol):
    """Takes figures to where Prometheus fetches them."""

    @property
    def period(self) -> float:
        """Seconds after which each figure has to be told again, or it is taken for gone."""
        ...

    def tell(self, samples: Iterable[Sample]) -> None:
        """Tell all figures that there are now; never raises. May take its time, so it is called in a thread."""
        ...
