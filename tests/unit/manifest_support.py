"""Texts and helpers for the tests of config.yaml."""

import pytest

from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import PluginRejected

# As seed/iocmng-2.0.0-readme.txt prints it for MyMonitor.
SEED_CONFIG = """\
parameters:
  mode: continuous
  interval: 1.0
  threshold: 75.0

pvs:
  inputs:
    SETPOINT:
      type: float
      value: 50.0
      unit: "%"
      prec: 2
      low: 0
      high: 100
  outputs:
    READING:
      type: float
      value: 0.0
      unit: "arb"
      prec: 3
    ALARM:
      type: bool
      value: 0
      znam: "OK"
      onam: "ALARM"
"""


def with_pv(body, section="inputs"):
    """Return a config.yaml with one PV, A, which stands on its third line."""
    return f"pvs:\n  {section}:\n    A: {body}\n"


def failures_of(text, file="config.yaml"):
    """Return the failed checks of a text that must be refused."""
    with pytest.raises(PluginRejected) as caught:
        parse_manifest(text, file)
    failures = caught.value.failures
    assert failures
    assert all((failure.step, failure.file) == ("config", file) for failure in failures)
    return failures


def the_failure(text):
    """Return the only failed check of a text."""
    (failure,) = failures_of(text)
    return failure
