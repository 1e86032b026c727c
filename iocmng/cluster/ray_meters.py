"""RayMeters: figures to the endpoint of Ray's agent. The only module that imports ray.util.metrics.

All of them are gauges for Ray, also those that only grow; see docs/adr/0029-metrics.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import ray
from ray.util.metrics import Gauge

from iocmng.core.metrics import METRICS
from iocmng.core.tally import Sample

_log = logging.getLogger(__name__)


class RayMeters:
    """Tells figures by Ray's metrics, from one process of the cluster."""

    def __init__(self) -> None:
        # Ray passes on in each of its intervals what was set since the one before, and drops what is missing twice.
        self.period = max(ray._config.metrics_report_interval_ms(), 1000) / 2000
        self._gauges = {name: Gauge(name, metric.meaning, tags) for metric in METRICS for name, tags in metric.series}
        self._has_failed = False

    def tell(self, samples: Iterable[Sample]) -> None:
        """Tell all figures that there are now; never raises."""
        try:
            for series, tags, value in samples:
                self._gauges[series].set(value, dict(tags))
        except Exception:  # noqa: BLE001  boundary: whatever Ray has against a figure, plugins go on
            if not self._has_failed:
                _log.exception("figures could not be told to Ray; this is said once")
            self._has_failed = True
