"""The check of a run's parameters, before there is a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iocmng.core.parameters import run_refused
from iocmng.core.ports.processes import PluginHandle
from iocmng.core.spec import PluginFacts
from iocmng.errors import PluginRejected


async def check_run_parameters(
    facts: PluginFacts | None, handle: PluginHandle | None, parameters: Mapping[str, Any]
) -> None:
    """Check the parameters of a run: here by what config.yaml declares, in its process by the model of its class.

    The process checks them once more when the run begins, so a job that is just being replaced need not be asked.

    Args:
        facts: What is known of the job.
        handle: Its process, if it has one.
        parameters: Those of the run; they are laid over the job's own.

    Raises:
        InvalidRequest: If one does not fit.
        TimedOut: If the model does not come to an end.
        PluginCrashed: If the process ends meanwhile.
    """
    if facts is None or facts.parameters_schema is None:
        return
    if facts.declared is not None:
        try:
            facts.declared.check_run(facts.parameters, parameters)
        except PluginRejected as error:
            raise run_refused(error) from None
    elif handle is not None:
        await handle.check_parameters(parameters)
