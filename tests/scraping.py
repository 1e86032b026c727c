"""Scrapes the endpoint of Ray's agent, as Prometheus does."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families
from support import wait_for

INTERVAL = {"RAY_metrics_report_interval_ms": "2000"}
"""Ray's default is 10 s."""

DEADLINE = 30.0


class Endpoint:
    """The endpoint at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def text(self) -> str:
        """Return what it answers."""
        return httpx.get(self._url, timeout=10).raise_for_status().text

    def values(self, series: str, **tags: str) -> list[float]:
        """Return the values of all series of a name that have these tags."""
        families = text_string_to_metric_families(self.text())
        samples = [one for family in families for one in family.samples if one.name == f"ray_{series}"]
        return [one.value for one in samples if tags.items() <= one.labels.items()]

    def tells(self, value: float, series: str, **tags: str) -> None:
        """Wait until there is one such series, and it has this value."""
        wait_for(lambda: self.values(series, **tags) == [value], f"{series}{tags} is {value}", DEADLINE, 0.3)

    def exceeds(self, value: float, series: str, **tags: str) -> None:
        """Wait until there is one such series, and its value is larger."""

        def does() -> bool:
            found = self.values(series, **tags)
            return len(found) == 1 and found[0] > value

        wait_for(does, f"{series}{tags} is above {value}", DEADLINE, 0.3)

    def drops(self, series: str, **tags: str) -> None:
        """Wait until there is no such series."""
        wait_for(lambda: not self.values(series, **tags), f"{series}{tags} is gone", DEADLINE, 0.3)
