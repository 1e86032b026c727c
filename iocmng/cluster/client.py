"""The way to the Controller: implements core.ports.controller.ControllerClient on Ray."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import ray

from iocmng.cluster.controller_actor import ControllerActor
from iocmng.cluster.names import CONTROLLER_NAME, NAMESPACE
from iocmng.cluster.nodes import HEAD
from iocmng.cluster.ray_errors import controller_call
from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.builtin_pvs import Kind
from iocmng.core.log_lines import LogPage
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.runs import Run, RunRequest, RunState
from iocmng.core.state import Applied, Event, Generation, Snapshot
from iocmng.settings import Settings


class RayControllerClient:
    """Calls the Controller actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    @classmethod
    async def connect(cls, settings: Settings) -> RayControllerClient:
        """Return a client of the cluster's Controller; make the Controller where there is none."""
        client = cls.begin(settings)
        await controller_call(client._actor.start.remote())
        return client

    @classmethod
    def find(cls) -> RayControllerClient | None:
        """Return a client of the cluster's Controller, or None where there is none; it is never made."""
        try:
            return cls(ray.get_actor(CONTROLLER_NAME, namespace=NAMESPACE))
        except ValueError:
            return None

    @classmethod
    def begin(cls, settings: Settings) -> RayControllerClient:
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
        return cls(actor)

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """See Controller.add."""
        return await controller_call(self._actor.add.remote(request, kind, wait))

    async def remove(self, name: str, kind: Kind | None) -> int:
        """See Controller.remove."""
        return await controller_call(self._actor.remove.remote(name, kind))

    async def restart(self, name: str, kind: Kind | None) -> int:
        """See Controller.restart."""
        return await controller_call(self._actor.restart.remote(name, kind))

    async def rollback(self, name: str, kind: Kind | None, generation: int | None) -> int:
        """See Controller.rollback."""
        return await controller_call(self._actor.rollback.remote(name, kind, generation))

    async def change(self, name: str, kind: Kind | None, change: PluginChange) -> int:
        """See Controller.change."""
        return await controller_call(self._actor.change.remote(name, kind, change))

    async def apply(self, owner: str, requests: Sequence[PluginRequest]) -> tuple[list[Applied], int]:
        """See Controller.apply."""
        return await controller_call(self._actor.apply.remote(owner, requests))

    async def generations(self, name: str) -> list[Generation]:
        """See Controller.generations."""
        return await controller_call(self._actor.generations.remote(name))

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """See Controller.events."""
        return await controller_call(self._actor.events.remote(name, after, limit))

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """See Controller.set_running."""
        return await controller_call(self._actor.set_running.remote(name, kind, running))

    async def run_job(self, name: str, request: RunRequest, wait: bool) -> tuple[Run, int]:
        """See Controller.run_job."""
        return await controller_call(self._actor.run_job.remote(name, request, wait))

    async def cancel_run(self, name: str, run: int, wait: bool) -> tuple[Run, int]:
        """See Controller.cancel_run."""
        return await controller_call(self._actor.cancel_run.remote(name, run, wait))

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """See Controller.runs."""
        return await controller_call(self._actor.runs.remote(name, states, before, limit))

    async def run(self, name: str, run: int) -> Run:
        """See Controller.run."""
        return await controller_call(self._actor.run.remote(name, run))

    async def logs(self, name: str, tail: int, after: int | None) -> LogPage:
        """See Controller.logs."""
        return await controller_call(self._actor.logs.remote(name, tail, after))

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """See Controller.add_audit."""
        await controller_call(self._actor.add_audit.remote(entries))

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """See Controller.audit."""
        return await controller_call(self._actor.audit.remote(query))

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """See Controller.watch."""
        return await controller_call(self._actor.watch.remote(epoch, after))

    async def shutdown(self) -> None:
        """Stop all plugins in good order, and end the Controller."""
        await controller_call(self._actor.shutdown.remote())
        ray.kill(self._actor)
