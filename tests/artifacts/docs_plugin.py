"""Checks a plugin's directory as the server does and runs it once on PVs in memory.

    python docs_plugin.py DIRECTORY

A process of its own, because it imports the plugin.
"""

from __future__ import annotations

import sys
from pathlib import Path

from iocmng.base.job import JobBase
from iocmng.testing import FakePvClient, PluginHarness


class AnyPvClient(FakePvClient):
    """Other IOCs serve whatever a plugin of the documentation asks for."""

    def get(self, pv_name: str, timeout: float) -> float:
        return float(self.values.get(pv_name, 20.0))

    def put(self, pv_name: str, value: object, timeout: float) -> None:
        self.values[pv_name] = value


def main(directory: Path) -> None:
    """Print the state in which the plugin is after a run or its first cycle."""
    harness = PluginHarness(directory, prefix="X", outside=AnyPvClient())
    if isinstance(harness.plugin, JobBase):
        harness.run_job()
    else:
        harness.start()
        if "RUN" in harness.pvs:
            harness.trigger()
    sys.stdout.write(f"{harness.status} {harness.message}\n")
    assert harness.status not in ("ERROR", "FAILED"), harness.message
    harness.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
