"""The seams of the house: what one room needs of another, as Protocols.

Everything that meets Ray, EPICS, the clock or the network stands behind one of these, so that the rules can be tested
without them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from iocmng.core.builtin_pvs import Kind
from iocmng.core.devices import CreatedDevice, DeviceWish
from iocmng.core.log_lines import LogPage
from iocmng.core.manifest import Manifest
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.core.pvs import DeclaredPv
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.runs import HeldRun, Run, RunOrder, RunOutcome, RunRequest, RunState
from iocmng.core.source import Source
from iocmng.core.spec import Endpoint, FilesRef, PluginFacts, PluginSpec, RecordInfo, Report
from iocmng.core.state import Applied, Event, Generation, Loaded, PluginEntry, Snapshot
from iocmng.errors import ItemFailed


class Clock(Protocol):
    """Time, so that tests can turn it."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class PvServer(Protocol):
    """Serves a plugin's PVs to EPICS clients."""

    def build(
        self, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> tuple[RecordInfo, ...]:
        """Make the records. `on_write` is told of each put by a client, in a thread that it must not hold up."""
        ...

    def run(self) -> tuple[int, int]:
        """Begin to answer clients; return the CA and the PVA port."""
        ...

    def get(self, name: str) -> PvValue:
        """Return the value of a PV, named without its prefix."""
        ...

    def put(self, name: str, value: Any, severity: Severity | None = None) -> None:
        """Set the value of a PV and, if given, its alarm severity."""
        ...


class PvClient(Protocol):
    """Reads and writes PVs of other IOCs."""

    def get(self, pv_name: str, timeout: float) -> Any:
        """Return the value of a PV."""
        ...

    def put(self, pv_name: str, value: Any, timeout: float) -> None:
        """Write a PV and wait until it is done."""
        ...


class DeviceProvider(Protocol):
    """Makes ophyd devices in a plugin's process. Thread-safe; blocks until a device is connected."""

    def names(self) -> list[str]:
        """Return the names of the devices that values.yaml describes, and of those that were made besides."""
        ...

    def get(self, name: str, timeout: float | None) -> Any | None:
        """Return a device, made at the first call, or None where none has this name.

        Args:
            name: Its name.
            timeout: Seconds that it may take to connect; 0 does not wait, None takes the site's time.

        Raises:
            TimedOut: If its IOC does not answer.
            AuthorError: If it cannot be made.
        """
        ...

    def create(self, wish: DeviceWish, timeout: float | None, keep: bool) -> Any:
        """Return a device that an author describes; the one that was made before, if `keep`.

        Raises:
            TimedOut: If its IOC does not answer.
            AuthorError: If it cannot be made.
        """
        ...

    def created(self) -> tuple[CreatedDevice, ...]:
        """Return what has been made and kept."""
        ...

    def run_async(self, call: Awaitable[Any] | Callable[[], Awaitable[Any]], timeout: float | None) -> Any:
        """Await something in the event loop of the asynchronous devices; return what it returns.

        Raises:
            TimedOut: If it takes longer; it is cancelled then.
        """
        ...


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of one item of a map().

    Attributes:
        index: Place of the item among all, from 0.
        value: What the function returned.
        failure: Why there is no value.
        log: What was logged meanwhile, as (level, text).
    """

    index: int
    value: Any = None
    failure: ItemFailed | None = None
    log: tuple[tuple[int, str], ...] = ()


class Mapper(Protocol):
    """Runs a function of a plugin's code for many items, wherever there is room for it."""

    def outcomes(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        max_parallel: int | None,
        logger: logging.Logger,
    ) -> Generator[ItemOutcome | None]:
        """Yield what becomes of each item, in the order in which they finish; None where none has for a moment.

        Items are taken from `items` only when there is a place for them. Closing the generator ends all that is still
        under way, at once.

        Args:
            function: Called with each item, once.
            items: They may be without end.
            max_parallel: How many to run at the same time at most; None leaves it to the number of CPUs.
            logger: The plugin's own, told where something has to be waited for.

        Raises:
            AuthorError: If the function cannot be run at all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bundle:
    """A plugin's files, fetched and checked as far as that goes without running them.

    Attributes:
        digest: Names the content; equal trees have equal digests.
        directory: Where the files lie.
        packages: Directory of the installed requirements, if there are any.
        manifest: config.yaml.
        commit: Commit of the files; None for a local directory that is in no repository.
        branch: Branch or tag they were taken from.
    """

    digest: str
    directory: str
    packages: str | None
    manifest: Manifest
    commit: str | None = None
    branch: str | None = None


class PluginHandle(Protocol):
    """One plugin process. Every call raises PluginCrashed once the process is gone."""

    @property
    def remote_node(self) -> str | None:
        """The node it runs on, if that is another one than the Controller's."""
        ...

    async def prepare(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> PluginFacts:
        """Import and check the plugin in its process."""
        ...

    async def build(self) -> tuple[RecordInfo, ...]:
        """Make the plugin's object and its records; nothing is served yet."""
        ...

    async def start(self, running: bool) -> tuple[Endpoint, Report]:
        """Serve the PVs and, if running, begin with initialize() and the cycles; return where, and the first report."""
        ...

    async def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Check the parameters of a run by the model of the plugin's class; waits for no run that goes on.

        Raises:
            InvalidRequest: If one does not fit.
            TimedOut: If the model does not come to an end.
        """
        ...

    async def next_report(self, within: float) -> Report:
        """Wait until there is something new to tell, or so many seconds; one call at a time.

        Raises as soon as the process is gone. A process on another node takes each call as a renewal of its lease.
        """
        ...

    async def unseen_for(self) -> float:
        """Return the seconds for which a process that cannot be reached may still serve its PVs; 0: it is gone."""
        ...

    async def set_running(self, running: bool) -> Report:
        """Start or stop the cycles; return what the process then says of itself."""
        ...

    async def run_job(self, order: RunOrder) -> tuple[RunOutcome, Report]:
        """Run a job once; return what became of it, and what the process then says of itself."""
        ...

    async def outcome_of(self, run: int) -> tuple[RunOutcome, Report]:
        """Return the same for a run that an earlier Controller has told the process of; wait until it has ended."""
        ...

    async def cancel_run(self, run: int) -> None:
        """Turn `cancelled` true for a run that goes on or waits in the process; nothing happens if it has ended."""
        ...

    async def prepare_runs(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> None:
        """Import, check and make a job in its process for runs alone: it serves no PVs, and reports what they set."""
        ...

    async def pv_values(self) -> Mapping[str, PvValue]:
        """Return the values of the plugin's own PVs, by name."""
        ...

    async def take_wanted_runs(self) -> int:
        """Return how often a client has written 1 to RUN since the last call, and set RUN to 0: it was taken."""
        ...

    async def follow_run(self, run: int, report: Report) -> None:
        """Show on the PVs what a run in another process says of itself, unless a newer one is shown."""
        ...

    async def show(self, message: str, state: str) -> None:
        """Show a message in MESSAGE and, unless it is empty, a state in STATUS; no state while a run goes on."""
        ...

    async def stop(self) -> Report | None:
        """Run cleanup(), then end the process; kill it where that takes too long. Return its last report."""
        ...

    async def kill(self, why: str = "") -> None:
        """End the process now; calls that are under way raise PluginCrashed with the reason, if one is given."""
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """What a plugin asks of the node it runs on.

    Attributes:
        resources: Ray resources that the node must offer.
        labels: Labels that it must have.
        beside: The node on which a process of the same plugin runs that the new one will replace.
    """

    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    beside: str | None = None

    @property
    def is_anywhere(self) -> bool:
        """Whether any node will do."""
        return not self.resources and not self.labels


ANYWHERE = Placement()


class StateStore(Protocol):
    """Keeps what must outlive every process. Blocking, and called by one thread at a time.

    Every call is one transaction: when it returns, its change survives the death of this process and of the machine;
    when it raises, nothing of it is kept. Every call raises StateUnavailable where the store cannot be read or written
    (a full disk, a database that is down), with what to do about it.
    """

    def load(self) -> Loaded:
        """Return everything that a Controller needs when it starts."""
        ...

    def save(self, entry: PluginEntry, generation: Generation | None = None) -> None:
        """Write a plugin, new or known, and with it the generation that has just started or failed, if there is one."""
        ...

    def delete(self, name: str) -> None:
        """Forget a plugin, its generations, its runs and its credential; its events stay.

        Nothing happens if it is not known.
        """
        ...

    def add_generation(self, generation: Generation) -> None:
        """Write a generation that failed, and its number as the plugin's newest; of the oldest some are dropped."""
        ...

    def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        ...

    def set_credential(self, name: str, credential: str | None) -> None:
        """Keep a plugin's PAT, encrypted, or forget it. It may come before the plugin itself is saved."""
        ...

    def credential(self, name: str) -> str | None:
        """Return a plugin's PAT.

        Raises:
            StateUnavailable: Also if it cannot be decrypted, because the key is another one.
        """
        ...

    def add_events(self, events: Sequence[Event]) -> None:
        """Write events, oldest first; beyond the store's limit the oldest are dropped."""
        ...

    def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return events, oldest first: of one plugin or of all, the newest `limit` of those above the id `after`."""
        ...

    def save_run(self, run: Run) -> None:
        """Write a run, new or known; nothing happens if its job is not known.

        Of the job's runs that have ended the oldest are dropped beyond the store's limit; those that have not, never.
        """
        ...

    def runs(self, job: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs without their log lines, newest first: `limit` at most, of ids below `before`.

        Args:
            job: Name of the job.
            states: Only runs in one of these states; empty is all.
            before: Only runs with a lower id; None is all.
            limit: Number of runs at most.
        """
        ...

    def run(self, job: str, run: int) -> Run | None:
        """Return a run of a job with its log lines, or None if there is none of this id."""
        ...

    def open_runs(self) -> list[Run]:
        """Return all runs that have not ended, of all jobs, oldest first."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class PluginLauncher(Protocol):
    """Makes bundles and processes."""

    async def fetch(self, source: Source, pat: str | None) -> Bundle:
        """Fetch the source and check what can be checked without running it."""
        ...

    async def reopen(self, files: FilesRef) -> Bundle | None:
        """Return a bundle that was kept, or None where it is there no longer, or is damaged."""
        ...

    async def take_process(self, placement: Placement = ANYWHERE) -> PluginHandle:
        """Return a process that waits for a plugin, a warm one where there is one.

        Raises:
            ServerUnavailable: If no node of the cluster can take it.
        """
        ...

    async def find_processes(self) -> list[FoundProcess | FoundFurther]:
        """Return the processes that an earlier Controller has left: those that serve a plugin, and further ones.

        Those that never got a plugin, and those that do not serve one yet, or no longer, are ended.
        """
        ...

    async def unseen_for(self, node: str) -> float:
        """Return the seconds for which processes on a node may still serve PVs that this Controller cannot see."""
        ...

    async def forget_bundles(self, keep: frozenset[str]) -> None:
        """Remove the files of all bundles except those to be kept, named by digest."""
        ...

    async def forget_values(self, keep: frozenset[str]) -> None:
        """Remove the saved PV values of all plugins except those to be kept, by name."""
        ...


@dataclass(frozen=True, slots=True)
class FoundProcess:
    """A plugin's process that lived on while there was no Controller.

    Attributes:
        spec: What it was started for.
        report: What it says of itself now.
        running: Whether it was last told to run its cycles.
        run: The newest run of a job that it was told of.
    """

    handle: PluginHandle
    spec: PluginSpec
    bundle: Bundle
    facts: PluginFacts
    endpoint: Endpoint
    report: Report
    running: bool
    run: HeldRun | None = None


@dataclass(frozen=True, slots=True)
class FoundFurther:
    """A further process of a job, for runs alone, that lived on while there was no Controller."""

    handle: PluginHandle
    spec: PluginSpec
    bundle: Bundle
    run: HeldRun | None = None


class ControllerClient(Protocol):
    """What the API knows of the Controller. Calls that change something return the version to wait for."""

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """Add a plugin; with `wait`, return when it is up or raise why it is not."""
        ...

    async def remove(self, name: str, kind: Kind | None) -> int:
        """Stop and forget a plugin."""
        ...

    async def restart(self, name: str, kind: Kind | None) -> int:
        """Fetch a plugin again and replace it."""
        ...

    async def rollback(self, name: str, kind: Kind | None, generation: int | None) -> int:
        """Replace a plugin by an earlier generation of it; None is the newest that ran before the present one."""
        ...

    async def change(self, name: str, kind: Kind | None, change: PluginChange) -> int:
        """Change what is desired of a plugin, and replace it where that is needed."""
        ...

    async def apply(self, owner: str, requests: Sequence[PluginRequest]) -> tuple[list[Applied], int]:
        """Make the plugins that `owner` (a plugins file, by its path) asks for what its entries say, and no others."""
        ...

    async def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        ...

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return events, oldest first: of one plugin or of all, the newest `limit` of those above the id `after`."""
        ...

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """Start or stop a plugin's cycles."""
        ...

    async def run_job(self, name: str, request: RunRequest, wait: bool) -> tuple[Run, int]:
        """Ask for a run of a job; return it, ended if `wait` says so, and the version to wait for."""
        ...

    async def cancel_run(self, name: str, run: int, wait: bool) -> tuple[Run, int]:
        """Cancel a run that has not ended; return it, ended if `wait` says so, and the version to wait for."""
        ...

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return runs of a job without their log lines, newest first; for the arguments see StateStore.runs."""
        ...

    async def run(self, name: str, run: int) -> Run:
        """Return a run of a job, with its log lines."""
        ...

    async def logs(self, name: str, tail: int, after: int | None) -> LogPage:
        """Return a plugin's newest log lines, or the oldest of those behind the number `after`; oldest first."""
        ...

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until the snapshot is newer than `after`; return what changed since, or all of it."""
        ...
