"""Counting: how often something has happened, and how values spread over the buckets of a histogram. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from iocmng.core.metrics import PLUGIN, Metric, MetricKind


class Sample(NamedTuple):
    """One figure to be told.

    Attributes:
        series: Name of the series, as Metric.series has it.
        tags: Value of each tag.
    """

    series: str
    tags: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How many values fell into each bucket of a histogram since it began.

    Attributes:
        counts: Values at most as large as each bound, and larger than the one before; the last ones are beyond all
            bounds. Empty: there was none.
        total: Sum of all values.
    """

    counts: tuple[int, ...] = ()
    total: float = 0.0


NOTHING = Spread()
"""No value so far."""


class Buckets:
    """Counts values by the bounds of a histogram. One thread notes; any thread may ask."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._is_empty = True

    def note(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value
        self._is_empty = False

    def spread(self) -> Spread:
        """Return what was counted."""
        return NOTHING if self._is_empty else Spread(tuple(self._counts), self._total)


class Tally:
    """What has happened, by metric and tags. It belongs to one event loop."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Metric, tuple[str, ...]], float] = {}
        self._buckets: dict[tuple[Metric, tuple[str, ...]], Buckets] = {}

    def begin(self, metric: Metric, *tags: str) -> None:
        """Begin to count, from 0, so that the series is there before anything happens."""
        self._counts.setdefault((metric, tags), 0.0)

    def count(self, metric: Metric, *tags: str) -> None:
        """Count one more; the values of the tags are in the order of the metric's."""
        self._counts[metric, tags] = self._counts.get((metric, tags), 0.0) + 1

    def observe(self, metric: Metric, value: float, *tags: str) -> None:
        """Count a value of a histogram."""
        buckets = self._buckets.get((metric, tags))
        if buckets is None:
            buckets = self._buckets[metric, tags] = Buckets(metric.bounds)
        buckets.note(value)

    def counted(self, metric: Metric, *tags: str) -> float:
        """Return how often something was counted."""
        return self._counts.get((metric, tags), 0.0)

    def spread(self, metric: Metric, *tags: str) -> Spread:
        """Return how the values of a histogram spread."""
        buckets = self._buckets.get((metric, tags))
        return NOTHING if buckets is None else buckets.spread()

    def keep(self, plugins: Collection[str]) -> None:
        """Forget what was counted for plugins that are no longer there."""
        there = {None, *plugins}
        for table in (self._counts, self._buckets):
            for metric, tags in [key for key in table if _plugin(*key) not in there]:
                del table[metric, tags]

    def samples(self) -> Iterator[Sample]:
        """Yield everything that was counted; between two of them, more may be counted."""
        for (metric, tags), value in list(self._counts.items()):
            yield sample(metric, value, *tags)
        for (metric, tags), buckets in list(self._buckets.items()):
            yield from spread_samples(metric, buckets.spread(), *tags)


def sample(metric: Metric, value: float, *tags: str) -> Sample:
    """Return a sample of a gauge or a counter."""
    assert metric.kind is not MetricKind.HISTOGRAM
    return Sample(metric.name, dict(zip(metric.tags, tags, strict=True)), value)


def spread_samples(metric: Metric, spread: Spread, *tags: str) -> Iterator[Sample]:
    """Yield the samples of a histogram: each bucket has all that is not larger than its bound."""
    given = dict(zip(metric.tags, tags, strict=True))
    counts = spread.counts or (0,) * (len(metric.bounds) + 1)
    for bound, count in zip((*metric.bounds, float("inf")), accumulate(counts), strict=True):
        yield Sample(f"{metric.name}_bucket", {**given, "le": _bound(bound)}, count)
    yield Sample(f"{metric.name}_count", given, sum(counts))
    yield Sample(f"{metric.name}_sum", given, spread.total)


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else f"{value:g}"


def _plugin(metric: Metric, tags: tuple[str, ...]) -> str | None:
    return tags[metric.tags.index(PLUGIN)] if PLUGIN in metric.tags else None
