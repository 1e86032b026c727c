"""RayPluginHandle: one plugin process, as the Controller sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import ray

from iocmng.cluster.last_words import Ending, LastWords, bury
from iocmng.cluster.nodes import ANSWER_TIMEOUT, is_alive, lease_bound, own_node, run_on
from iocmng.cluster.ray_errors import CUT_OFF, NODE_IS_LOST, plugin_call
from iocmng.cluster.served import ForRuns, Served
from iocmng.cluster.shipping import Shipping
from iocmng.cluster.surroundings import Surroundings
from iocmng.core.devices import DeviceTable
from iocmng.core.ports.processes import Bundle
from iocmng.core.ports.tracing import Attribute, Tracing
from iocmng.core.pv_fields import PvValue
from iocmng.core.runs import RunOrder, RunOutcome
from iocmng.core.spec import Endpoint, PluginFacts, PluginSpec, RecordInfo, Report
from iocmng.errors import CheckFailure, IocmngError, PluginCrashed, PluginRejected, ServerUnavailable, TimedOut
from iocmng.loading.plugin_users import PluginUsers
from iocmng.settings import Settings

NODE_DEATH_TIMEOUT = 2.0
"""Seconds in which Ray must have seen that a node died with which the connection ended."""

GONE_TIMEOUT = 5.0
"""Seconds in which Ray must have told us that a killed process is gone."""

CHECK_TIMEOUT = 5.0
"""Seconds that a plugin's model may take to check the parameters of a run."""

_log = logging.getLogger(__name__)


class RayPluginHandle:
    """One plugin process, as a Ray actor; implements core.ports.processes.PluginHandle.

    The actor is detached and named: it outlives the Controller, and the next one finds it.
    """

    def __init__(
        self,
        settings: Settings,
        actor: Coroutine[Any, Any, Any],
        shipping: Shipping,
        devices: DeviceTable,
        access: str,
        users: PluginUsers,
        tracing: Tracing,
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._about: dict[str, Attribute | None] = {}
        self._users = users
        self._devices = devices
        self._access = access
        self._making = asyncio.ensure_future(actor)
        self._actor: Any = None  # until it is made
        self._shipping = shipping
        self._pid = 0
        self._node: str | None = None
        self._digest: str | None = None
        self._stamp = 0.0  # of the newest answer, on the process's clock
        self._unseen_until = 0.0  # on our clock: when its lease has ended for certain
        self._is_gone = False
        self._why = ""
        self._said: str | None = None
        self._reported = 0  # number of the last log line that a report has brought
        self.last_lines: tuple[str, ...] = ()
        self.last_words: LastWords | None = None
        self.warmed = asyncio.ensure_future(self._warm())

    async def _warm(self) -> None:
        self._actor = await asyncio.shield(self._making)
        self._pid, self._node = await plugin_call(self._actor.warm.remote())

    @property
    def remote_node(self) -> str | None:
        """The node it runs on, if that is another one than ours."""
        return self._node if self._node != own_node() else None

    async def describe(self) -> Served | ForRuns | None:
        """Return what the process is for, or None."""
        self._expect_end_in(lease_bound(self._settings))  # an earlier Controller has renewed it
        served, self._stamp = await plugin_call(self._actor.describe.remote())
        if served is not None:
            self._about = {"plugin": served.spec.name, "generation": served.spec.generation, "node": self._node}
        if isinstance(served, Served):
            self.last_words = served.words
            self._heard(served.report)
        return served

    async def prepare(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> PluginFacts:
        """Import and check the plugin in its process."""
        self._about = {"plugin": spec.name, "generation": spec.generation, "node": self._node}
        with self._tracing.span("plugin.check", **self._about):
            return await self._prepare(spec, bundle, site_prefix)

    async def _prepare(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> PluginFacts:
        if self.remote_node is not None:
            self._digest = bundle.digest
            await self._shipping.bring(bundle, self.remote_node)
        words = LastWords(self._settings)
        await self._limited(self._actor.note_fatal_signals.remote(words), "import", self._settings.import_timeout)
        self.last_words = words
        call = self._actor.prepare.remote(spec, bundle, await self._site(spec, site_prefix))
        return await self._limited(call, "import", self._settings.import_timeout)

    async def build(self) -> tuple[RecordInfo, ...]:
        """Make the plugin's object and its records."""
        with self._tracing.span("plugin.build", **self._about):
            call = self._actor.build.remote()
            records, self._stamp = await self._limited(call, "constructor", self._settings.initialize_timeout)
            return records

    async def start(self, running: bool) -> tuple[Endpoint, Report]:
        """Serve the PVs and, if running, begin with initialize() and the cycles."""
        limit = self._settings.initialize_timeout
        lease = self._lease(beyond=limit)  # nobody renews it before this call has returned
        with self._tracing.span("plugin.start", **self._about):
            call = self._actor.start.remote(running, lease, self._stamp)
            endpoint, report, self._stamp = await self._limited(call, "initialize", limit)
        return endpoint, self._heard(report)

    async def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Check the parameters of a run by the model of the plugin's class."""
        try:
            await asyncio.wait_for(plugin_call(self._actor.check_parameters.remote(parameters)), CHECK_TIMEOUT)
        except TimeoutError:
            raise TimedOut(
                f"the parameters could not be checked within {CHECK_TIMEOUT:g} s, so there was no run: the validators "
                "of the plugin's model must look at their values and at nothing else; correct them, and restart it"
            ) from None

    async def next_report(self, within: float) -> Report:
        """Wait until there is something new to tell, or so many seconds; renews the lease."""
        lease, ends = self._lease(), time.monotonic() + lease_bound(self._settings)
        report, self._stamp = await self._told(self._actor.next_report.remote(within, lease, self._stamp))
        self._unseen_until = ends  # an earlier lease, which may have been longer, no longer holds
        return self._heard(report)

    async def unseen_for(self) -> float:
        """Return the seconds for which the process may still serve its PVs."""
        if self.remote_node is None or self._is_gone:
            return 0.0
        return max(0.0, self._unseen_until - time.monotonic())

    async def set_running(self, running: bool) -> Report:
        """Start or stop the cycles."""
        call = self._actor.set_running.remote(running)
        if running:
            return self._heard(await self._limited(call, "initialize", self._settings.initialize_timeout))
        limit = self._settings.stop_timeout
        try:
            return self._heard(await asyncio.wait_for(plugin_call(call), limit))
        except TimeoutError:
            raise TimedOut(
                f"the task did not stop within {limit:g} s: execute() or cleanup() has not returned. It stops when it "
                "does; restart or remove the plugin to end its process"
            ) from None

    async def run_job(self, order: RunOrder) -> tuple[RunOutcome, Report]:
        """Run the job once."""
        with self._tracing.span("plugin.run", **self._about, run=order.run) as span:
            outcome, report = await self._told(self._actor.run_job.remote(order))
            span.note("iocmng.success", outcome.result.get("success") is True)
        return outcome, self._heard(report)

    async def outcome_of(self, run: int) -> tuple[RunOutcome, Report]:
        """Return how a run ended that an earlier Controller has started."""
        outcome, report = await self._told(self._actor.outcome_of.remote(run))
        return outcome, self._heard(report)

    async def prepare_runs(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> None:
        """Make a job ready for runs alone."""
        if self.remote_node is not None:
            self._digest = bundle.digest
            await self._shipping.bring(bundle, self.remote_node)
        self._about = {"plugin": spec.name, "generation": spec.generation, "node": self._node}
        limit = self._settings.import_timeout + self._settings.initialize_timeout
        call = self._actor.prepare_runs.remote(spec, bundle, await self._site(spec, site_prefix))
        await self._limited(call, "import", limit)

    async def pv_values(self) -> Mapping[str, PvValue]:
        """Return the values of the plugin's own PVs."""
        return await plugin_call(self._actor.pv_values.remote())

    async def take_wanted_runs(self) -> tuple[str, ...]:
        """Return who has written RUN since the last call."""
        return await plugin_call(self._actor.take_wanted_runs.remote())

    async def follow_run(self, run: int, report: Report) -> None:
        """Show what a run in another process says of itself."""
        await plugin_call(self._actor.follow_run.remote(run, report))

    async def cancel_run(self, run: int) -> None:
        """Turn `cancelled` true for a run."""
        await plugin_call(self._actor.cancel_run.remote(run))

    async def show(self, message: str, state: str) -> None:
        """Show a message and a state."""
        await plugin_call(self._actor.show.remote(message, state))

    async def stop(self) -> Report | None:
        """Run cleanup(), then end the process; kill it where that takes too long."""
        last: Report | None = None
        try:
            last = await asyncio.wait_for(plugin_call(self._actor.end.remote()), self._settings.stop_timeout)
            if last is not None:
                self._heard(last)
        except TimeoutError:
            _log.warning("cleanup() took longer than %s s; its process is killed", self._settings.stop_timeout)
        except PluginCrashed:
            pass
        finally:
            await self.kill()
        return last

    async def kill(self, why: str = "") -> None:
        """End the process now, and return when it is gone, its PVs with it, or cannot be reached: see unseen_for."""
        self._why = self._why or why
        self.warmed.cancel()
        try:
            actor = await asyncio.shield(self._making)
        except IocmngError:
            return  # it never came to be
        # In a thread of their own: calls to Ray wait for its GCS, and the Controller must not.
        await asyncio.to_thread(ray.kill, actor)
        with contextlib.suppress(TimeoutError, IocmngError):
            await asyncio.wait_for(plugin_call(actor.__ray_ready__.remote()), GONE_TIMEOUT)
        await self._bury()
        if self._digest is not None:
            self._shipping.release(self._digest)
            self._digest = None

    async def _site(self, spec: PluginSpec, site_prefix: str) -> Surroundings:
        owner = await asyncio.to_thread(self._users.owner_of, spec.name)
        return Surroundings(site_prefix, self._settings, self._devices, self._access, owner)

    def _heard(self, report: Report) -> Report:
        """Note what has been reported, so that it is not taken for last lines."""
        self._reported = max(self._reported, report.logged)
        return report

    def _lease(self, beyond: float = 0.0) -> float | None:
        """Return the seconds of a lease that a call is about to bring; None where the process needs none."""
        if self.remote_node is None:
            return None
        self._expect_end_in(lease_bound(self._settings) + beyond)
        return self._settings.lease + beyond

    def _expect_end_in(self, seconds: float) -> None:
        self._unseen_until = max(self._unseen_until, time.monotonic() + seconds)

    async def _bury(self) -> str | None:
        """Make sure that the process is gone, if its node can be asked; return its last words.

        That Ray calls an actor dead is no proof: it does so as soon as it is told to kill one, or misses a node.
        """
        if not self._pid or self._node is None or self._is_gone:
            return None
        if self.remote_node is None:
            return self._ended(await asyncio.to_thread(bury, self._pid, self.last_words, self._reported))
        with contextlib.suppress(ServerUnavailable):
            if await is_alive(self._node):
                call = run_on(self._node, ANSWER_TIMEOUT, bury, self._pid, self.last_words, self._reported)
                return self._ended(await call)
        if self.last_words is not None:
            self.last_words.forget()  # where the directory is shared
        return None

    def _ended(self, ending: Ending) -> str | None:
        self._is_gone, self.last_lines = ending.is_gone, self.last_lines or ending.lines
        return ending.words

    async def _told(self, call: Any) -> Any:
        """Await a call; if the process is gone, say as much of its end as can be known."""
        try:
            return await plugin_call(call)
        except PluginCrashed as error:
            sentence = str(error)
            if sentence.endswith(CUT_OFF) and await self._is_node_lost():
                sentence = sentence.removesuffix(CUT_OFF) + NODE_IS_LOST
            words = self.last_words and await self._last_word()
            raise PluginCrashed(self._why or (f"{sentence}: {words}" if words else sentence)) from None

    async def _is_node_lost(self) -> bool:
        """Tell whether Ray comes to see that the node has died; it takes a moment longer than the connection's end."""
        if self._node is None or self.remote_node is None:
            return False
        deadline = time.monotonic() + NODE_DEATH_TIMEOUT
        while await is_alive(self._node):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    async def _last_word(self) -> str | None:
        assert self.last_words is not None
        # Two calls may be under way, and whoever comes first may have the file removed.
        self._said = self._said or (self.last_words.read() if self.remote_node is None else await self._bury())
        return self._said

    async def _limited(self, call: Any, step: str, limit: float) -> Any:
        """Await a call that runs author's code; what goes wrong names the step."""
        try:
            return await asyncio.wait_for(self._told(call), limit)
        except TimeoutError:
            raise PluginRejected.because(CheckFailure(step, f"did not end within {limit:g} s")) from None
        except PluginCrashed as error:
            raise PluginRejected.because(CheckFailure(step, str(error))) from None
