"""TaskBase: a plugin that runs in cycles, or when an operator asks for it."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from iocmng.base.plugin import PluginBase, Runtime
from iocmng.core.builtin_pvs import Kind
from iocmng.core.pv_fields import PvValue


class TaskBase(PluginBase):
    """Base of tasks.

    All methods run in one thread of the plugin's own process, never two at once.

    Attributes:
        mode: continuous, triggered or reactive.
        running: Whether the task should go on; turns false when it is to stop, so a long execute() may look at it.
        enabled: What the ENABLE PV says.
        cycle_count: Cycles since the start.
        link_values: Last values of linked inputs by name.
    """

    kind: ClassVar[Kind] = Kind.TASK

    mode: str
    running: bool
    enabled: bool
    cycle_count: int
    link_values: dict[str, Any]

    def bind_runtime(self, runtime: Runtime) -> None:
        """Give the task what its process has for it."""
        super().bind_runtime(runtime)
        self.mode = runtime.mode.value
        self.running = False
        self.enabled = True
        self.cycle_count = 0
        self.link_values = {}

    def _is_to_end(self) -> bool:
        return not self.running

    @abc.abstractmethod
    def initialize(self) -> None:
        """Prepare, once before the first cycle; the PVs are already served."""

    @abc.abstractmethod
    def execute(self) -> None:
        """Run one cycle. An exception is shown in STATUS and MESSAGE, and the next cycle follows."""

    @abc.abstractmethod
    def cleanup(self) -> None:
        """Leave everything in a safe state, once after the last cycle."""

    def triggered(self) -> None:
        """Run once, because RUN was written; unless overridden this is execute()."""
        self.execute()

    def on_input_changed(self, key: str, value: Any, old_value: Any) -> None:
        """React to a change of a linked input that has `trigger: true`."""

    def on_write(self, pv_name: str, value: PvValue) -> None:
        """React to an operator's put to an input, given the value that the record now has."""

    def step_cycle(self) -> None:
        """Read linked inputs, evaluate transforms and rules once; without any of these there is nothing to do."""
