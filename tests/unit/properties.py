"""Hypothesis for the tests of this folder: no deadline, because the machine may be busy with other things."""

from hypothesis import given, settings
from hypothesis import strategies as st

settings.register_profile("unit", deadline=None, max_examples=50)
settings.load_profile("unit")

__all__ = ["given", "st"]
