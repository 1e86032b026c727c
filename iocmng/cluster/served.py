"""What a plugin's process tells a Controller that finds it."""

from __future__ import annotations

from dataclasses import dataclass

from iocmng.cluster.last_words import LastWords
from iocmng.core.ports.processes import Bundle
from iocmng.core.runs import HeldRun
from iocmng.core.spec import Endpoint, PluginFacts, PluginSpec, Report


@dataclass(frozen=True, slots=True)
class Served:
    """What a process serves, see core.ports.processes.FoundProcess."""

    spec: PluginSpec
    bundle: Bundle
    facts: PluginFacts
    endpoint: Endpoint
    report: Report
    running: bool
    words: LastWords | None
    run: HeldRun | None = None


@dataclass(frozen=True, slots=True)
class ForRuns:
    """What a process is for that serves nothing, see core.ports.FoundFurther."""

    spec: PluginSpec
    bundle: Bundle
    run: HeldRun | None
