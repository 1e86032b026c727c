"""A PV server and a clock for the tests of the room `base`."""

from __future__ import annotations

import logging

from iocmng.base.board import StatusBoard
from iocmng.base.construct import construct
from iocmng.base.plugin import Runtime
from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.manifest import Manifest
from iocmng.testing import FakeClock


class FakePvs:
    """Keeps values in a dictionary and the history of each PV in a list."""

    def __init__(self):
        self.values, self.history, self.severities = {}, {}, {}

    def put(self, name, value, severity=None):
        self.values[name] = value
        self.severities[name] = severity
        self.history.setdefault(name, []).append(value)

    def get(self, name):
        return self.values[name]


def bound(cls, mode="continuous", interval=1.0, manifest=None, **parameters):
    """Return a plugin bound to fakes, as (plugin, board, pvs, clock)."""
    pvs, clock = FakePvs(), FakeClock()
    declared = (manifest or Manifest()).declared_pvs(cls.kind, Mode(mode))
    board = StatusBoard(pvs, frozenset(pv.name for pv in declared if pv.built_in))
    runtime = Runtime(
        name="under-test",
        pv_prefix="X:UNDER-TEST",
        mode=Mode(mode),
        parameters={"mode": mode, "interval": interval, **parameters},
        pv_names=frozenset(pv.name for pv in declared),
        pvs=pvs,
        board=board,
        logger=logging.getLogger("iocmng.test"),
    )
    return construct(cls, runtime), board, pvs, clock


__all__ = ["FakeClock", "FakePvs", "Kind", "bound"]
