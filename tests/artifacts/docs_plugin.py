"""Checks a plugin's directory as the server does and runs it once on PVs that are a dictionary.

    python docs_plugin.py DIRECTORY

A process of its own, because it imports the plugin.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from iocmng.base.host import PluginHost
from iocmng.base.identity import identify
from iocmng.core.builtin_pvs import Kind
from iocmng.core.runs import RunOrder
from iocmng.loading.checks import check_syntax, read_manifest
from iocmng.loading.importer import load_class


class DictionaryPvs:
    """A PvServer without EPICS."""

    def __init__(self) -> None:
        self._declared: dict[str, Any] = {}
        self._values: dict[str, Any] = {}

    def build(self, pv_prefix: str, pvs: Any, on_write: Any) -> tuple[()]:
        self._declared = {declared.name: declared.pv for declared in pvs}
        self._values = {name: pv.coerce(pv.value) for name, pv in self._declared.items() if hasattr(pv, "value")}
        return ()

    def run(self) -> tuple[int, int]:
        return 0, 0

    def get(self, name: str) -> Any:
        return self._values[name]

    def put(self, name: str, value: Any, severity: Any = None) -> None:
        self._values[name] = self._declared[name].coerce(value)


def main(directory: Path) -> None:
    """Print the state in which the plugin is after a run or its first cycle."""
    check_syntax(directory)
    manifest = read_manifest(directory)
    cls = load_class(str(directory), None, manifest)
    identity = identify(directory.name, f"X:{directory.name.upper()}", cls.kind, manifest, {}, commit=None)
    host = PluginHost(DictionaryPvs(), time)
    host.build(cls, identity, "info").result(10)
    if cls.kind is Kind.JOB:
        host.run_job(RunOrder(1)).result(10)
    else:
        host.set_running(True).result(10)
        if identity.mode.value == "triggered":
            host._client_wrote("RUN", True)
        # The next call is served after the first cycle or the run.
        host.thread.submit(lambda: None).result(10)
        host.thread.submit(lambda: None).result(10)
    report = host.report()
    sys.stdout.write(f"{report.state} {report.message}\n")
    assert report.state not in ("ERROR", "FAILED"), report.message
    host.end().result(10)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
