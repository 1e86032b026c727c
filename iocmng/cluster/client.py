"""The way to the Controller: implements core.ports.controller.ControllerClient on Ray."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ray

from iocmng.cluster.controller_actor import ControllerActor
from iocmng.cluster.names import CONTROLLER_NAME, NAMESPACE
from iocmng.cluster.nodes import HEAD
from iocmng.cluster.ray_errors import controller_call
from iocmng.cluster.ray_job import job_name
from iocmng.core.audit import AuditEntry, AuditKind, AuditQuery, Door, summary
from iocmng.core.builtin_pvs import Kind
from iocmng.core.log_lines import LogPage
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.runs import Run, RunRequest, RunState
from iocmng.core.state import Applied, Event, Generation, Snapshot
from iocmng.core.trace_context import current
from iocmng.errors import IocmngError
from iocmng.settings import Settings


class RayControllerClient:
    """Calls the Controller actor.

    Args:
        actor: The Controller.
        records: Whether the audit is told of changes here, with this process's Ray job; else the caller does that.
    """

    def __init__(self, actor: Any, *, records: bool = True) -> None:
        self._actor = actor
        self._records = records

    @classmethod
    async def connect(cls, settings: Settings, *, records: bool = True) -> RayControllerClient:
        """Return a client of the cluster's Controller; make the Controller where there is none."""
        client = cls.begin(settings, records=records)
        await controller_call(client._actor.start.remote())
        return client

    @classmethod
    def find(cls, *, records: bool = True) -> RayControllerClient | None:
        """Return a client of the cluster's Controller, or None where there is none; it is never made."""
        try:
            return cls(ray.get_actor(CONTROLLER_NAME, namespace=NAMESPACE), records=records)
        except ValueError:
            return None

    @classmethod
    def begin(cls, settings: Settings, *, records: bool = True) -> RayControllerClient:
        """Do the same without waiting until the Controller answers."""
        actor: Any = (
            ray.remote(ControllerActor)
            .options(  # pyright: ignore[reportAttributeAccessIssue]
                name=CONTROLLER_NAME,
                namespace=NAMESPACE,
                lifetime="detached",
                get_if_exists=True,
                max_restarts=-1,
                num_cpus=0,
                # The state lies on one node's disk: restarted elsewhere it would find none, and end all plugins.
                resources=HEAD,
            )
            .remote(settings.without_callers())
        )
        actor.start.remote()
        return cls(actor, records=records)

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """See Controller.add."""
        asked = request.model_dump(exclude_unset=True, exclude={"name"})
        return await self._change("add", request.name, asked, self._actor.add.remote(request, kind, wait, current()))

    async def remove(self, name: str, kind: Kind | None) -> int:
        """See Controller.remove."""
        asked = {}
        return await self._change("remove", name, asked, self._actor.remove.remote(name, kind, current()))

    async def restart(self, name: str, kind: Kind | None) -> int:
        """See Controller.restart."""
        asked = {}
        return await self._change("restart", name, asked, self._actor.restart.remote(name, kind, current()))

    async def rollback(self, name: str, kind: Kind | None, generation: int | None) -> int:
        """See Controller.rollback."""
        asked = {"generation": generation}
        return await self._change(
            "rollback", name, asked, self._actor.rollback.remote(name, kind, generation, current())
        )

    async def change(self, name: str, kind: Kind | None, change: PluginChange) -> int:
        """See Controller.change."""
        asked = change.model_dump(exclude_unset=True)
        return await self._change("change", name, asked, self._actor.change.remote(name, kind, change, current()))

    async def apply(self, owner: str, requests: Sequence[PluginRequest]) -> tuple[list[Applied], int]:
        """See Controller.apply."""
        asked = {"owner": owner, "plugins": [one.model_dump(include={"name"}) for one in requests]}
        return await self._change("apply", "", asked, self._actor.apply.remote(owner, requests, current()))

    async def generations(self, name: str) -> list[Generation]:
        """See Controller.generations."""
        return await controller_call(self._actor.generations.remote(name))

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """See Controller.events."""
        return await controller_call(self._actor.events.remote(name, after, limit))

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """See Controller.set_running."""
        asked = {"running": running}
        return await self._change(
            "set_running", name, asked, self._actor.set_running.remote(name, kind, running, current())
        )

    async def run_job(self, name: str, request: RunRequest, wait: bool) -> tuple[Run, int]:
        """See Controller.run_job."""
        asked = {"parameters": dict(request.parameters)}
        return await self._change("run_job", name, asked, self._actor.run_job.remote(name, request, wait, current()))

    async def cancel_run(self, name: str, run: int, wait: bool) -> tuple[Run, int]:
        """See Controller.cancel_run."""
        asked = {"run_id": run}
        return await self._change("cancel_run", name, asked, self._actor.cancel_run.remote(name, run, wait, current()))

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """See Controller.runs."""
        return await controller_call(self._actor.runs.remote(name, states, before, limit))

    async def run(self, name: str, run: int) -> Run:
        """See Controller.run."""
        return await controller_call(self._actor.run.remote(name, run))

    async def logs(self, name: str, tail: int, after: int | None, within: float = 0.0) -> LogPage:
        """See Controller.logs."""
        return await controller_call(self._actor.logs.remote(name, tail, after, within))

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """See Controller.add_audit."""
        await controller_call(self._actor.add_audit.remote(entries))

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """See Controller.audit."""
        return await controller_call(self._actor.audit.remote(query))

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """See Controller.watch."""
        return await controller_call(self._actor.watch.remote(epoch, after))

    async def _change(self, what: str, plugin: str, asked: Mapping[str, Any], call: Any) -> Any:
        """Await a call that changes something, and have it recorded, whatever becomes of it."""
        if not self._records:
            return await controller_call(call)
        at, began, code = time.time(), time.monotonic(), ""
        try:
            return await controller_call(call)
        except IocmngError as error:
            code = error.code
            raise
        finally:
            duration = round((time.monotonic() - began) * 1000, 1)
            kept = summary(asked, None)  # which parameters are secret is not known here
            who = (at, Door.CLUSTER, AuditKind.CHANGE, job_name(), what)
            entry = AuditEntry(*who, plugin=plugin, request=kept, code=code, duration=duration)
            # Nobody waits for it: the Controller logs it, and keeps it when it can.
            self._actor.add_audit.remote([entry])

    async def shutdown(self) -> None:
        """Stop all plugins in good order, and end the Controller."""
        await controller_call(self._actor.shutdown.remote())
        ray.kill(self._actor)
