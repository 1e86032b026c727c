"""Counting: histograms, counters by tags, and what is forgotten with a plugin."""

import re
from typing import get_args

import pytest

from iocmng.api.schemas import PluginStatusWord
from iocmng.core import metrics
from iocmng.core.lifecycle import STATUS_WORDS
from iocmng.core.metrics import METRICS, MetricKind
from iocmng.core.tally import NOTHING, Buckets, Spread, Tally, spread_samples

BOUNDED_TAGS = {"plugin", "state", "type", "host", "node", "commit", "cause", "protocol", "outcome", "phase", "result"}


def values(samples):
    """Return samples as a dictionary by name and tags."""
    return {(series, tuple(sorted(tags.items()))): value for series, tags, value in samples}


def test_a_value_is_counted_in_the_bucket_whose_bound_it_does_not_pass():
    """A value that equals a bound is below it, as Prometheus has it; larger ones than all bounds are counted, too."""
    buckets = Buckets((0.1, 1.0))
    assert buckets.spread() == NOTHING
    for value in (0.0, 0.1, 0.5, 7.0):
        buckets.note(value)
    assert buckets.spread() == Spread((2, 1, 1), 7.6)


def test_a_histogram_is_told_as_prometheus_reads_it():
    """Each bucket holds all that is not larger than its bound; count and sum are exact."""
    spread = Spread((2, 1, *[0] * 10, 4), 9.5)
    told = values(spread_samples(metrics.CYCLE_SECONDS, spread, "p"))
    name, plugin = metrics.CYCLE_SECONDS.name, ("plugin", "p")
    assert told[f"{name}_bucket", (("le", "0.001"), plugin)] == 2
    assert told[f"{name}_bucket", (("le", "10"), plugin)] == 3
    assert told[f"{name}_bucket", (("le", "+Inf"), plugin)] == 7
    assert told[f"{name}_count", (plugin,)] == 7
    assert told[f"{name}_sum", (plugin,)] == 9.5
    empty = values(spread_samples(metrics.CYCLE_SECONDS, NOTHING, "p"))
    assert set(empty) == set(told)
    assert set(empty.values()) == {0}


def test_a_counter_can_be_there_before_it_counts():
    """It begins with 0, because Prometheus sees no growth in a series that begins with 1; what was counted stays."""
    tally = Tally()
    tally.begin(metrics.CRASHES, "p")
    assert [sample.value for sample in tally.samples()] == [0]
    tally.count(metrics.CRASHES, "p")
    tally.begin(metrics.CRASHES, "p")
    assert [sample.value for sample in tally.samples()] == [1]


def test_what_a_removed_plugin_has_counted_is_forgotten():
    """What was counted without a plugin stays."""
    tally = Tally()
    for name in ("a", "b"):
        tally.count(metrics.CRASHES, name)
        tally.observe(metrics.RUN_SECONDS, 1.0, name)
    tally.count(metrics.STARTS, "add", "ok")
    tally.keep(["b"])
    assert tally.counted(metrics.CRASHES, "a") == 0
    assert tally.spread(metrics.RUN_SECONDS, "a") == NOTHING
    assert tally.counted(metrics.CRASHES, "b") == 1
    assert tally.spread(metrics.RUN_SECONDS, "b").total == 1.0
    assert tally.counted(metrics.STARTS, "add", "ok") == 1


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_well_formed(metric):
    """Its name begins with ours and says whether it only grows; each tag has few values; a sentence says what it is."""
    assert re.fullmatch(r"iocmng_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
    assert set(metric.tags) <= BOUNDED_TAGS
    assert metric.meaning.endswith(".")
    assert bool(metric.bounds) == (metric.kind is MetricKind.HISTOGRAM)
    assert list(metric.bounds) == sorted(set(metric.bounds))


def test_no_two_series_have_the_same_name():
    """Neither metrics nor the parts of histograms meet."""
    names = [name for metric in METRICS for name, _ in metric.series]
    assert len(names) == len(set(names))


def test_each_status_of_the_api_is_a_state():
    """The words of `state` are those of the REST API's `status`, in the same order."""
    assert get_args(PluginStatusWord) == STATUS_WORDS
