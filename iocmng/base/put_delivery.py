"""What a client's put does to a plugin, in the author's thread."""

from __future__ import annotations

from iocmng.base.job_runner import JobRunner
from iocmng.base.task_runner import TaskRunner
from iocmng.core.ports.plugin import PvServer
from iocmng.core.pv_fields import PvValue


class PutDelivery:
    """Delivers puts: control PVs are obeyed, those of the author are passed on.

    Args:
        runner: Runs the plugin.
        pvs: Serves its records.
        built_in: Names of the control PVs.
        told: Those among them that the author declares, too, and is told of.
    """

    def __init__(
        self, runner: TaskRunner | JobRunner, pvs: PvServer, built_in: frozenset[str], told: frozenset[str]
    ) -> None:
        self._runner = runner
        self._pvs = pvs
        self._built_in = built_in
        self._told = told

    def asks_for_a_job(self, name: str) -> bool:
        """Tell whether a put to this PV asks for the run of a job."""
        return name == "RUN" and name in self._built_in and isinstance(self._runner, JobRunner)

    def deliver(self, name: str, value: PvValue) -> None:
        """Do what a put asks for."""
        runner = self._runner
        if name not in self._built_in:
            if isinstance(runner, TaskRunner):
                runner.write(name, value)
            return
        if name in self._told and isinstance(runner, TaskRunner):
            runner.pass_on(name, value)
        elif value and name != "ENABLE":
            self._pvs.put(name, False)  # it was taken
        if name == "ENABLE" and isinstance(runner, TaskRunner):
            runner.set_enabled(bool(value))
        elif value and name == "RUN":
            runner.trigger() if isinstance(runner, TaskRunner) else runner.run()
