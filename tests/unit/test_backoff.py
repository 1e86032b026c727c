"""How long the wait is while something keeps failing."""

import math

import pytest
from properties import given, st

from iocmng.core.backoff import Backoff

BACKOFFS = st.builds(
    Backoff, first=st.floats(0.001, 100), factor=st.floats(1, 10), limit=st.floats(0.001, 3600, allow_nan=False)
)


@pytest.mark.parametrize(("failures", "delay"), [(0, 0), (-1, 0), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60)])
def test_the_wait_doubles_up_to_a_minute(failures, delay):
    """1, 2, 4 … seconds, 60 at most, and none without a failure."""
    assert Backoff().delay(failures) == delay


@given(BACKOFFS, st.integers(1, 10**9))
def test_the_wait_is_positive_finite_and_never_above_its_limit(backoff, failures):
    """Also after a year of failures."""
    assert 0 < backoff.delay(failures) <= backoff.limit
    assert math.isfinite(backoff.delay(failures))


@given(BACKOFFS, st.integers(0, 200))
def test_the_wait_never_shrinks_while_failures_go_on(backoff, failures):
    """One failure more never means an earlier try."""
    assert backoff.delay(failures) <= backoff.delay(failures + 1)
