"""What the Controller needs of the plugins' processes: what makes them, and how each is spoken to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from iocmng.core.manifest import Manifest
from iocmng.core.pv_fields import PvValue
from iocmng.core.runs import HeldRun, RunOrder, RunOutcome
from iocmng.core.source import Source
from iocmng.core.spec import Endpoint, FilesRef, PluginFacts, PluginSpec, RecordInfo, Report


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
        signed_by: Who has signed them; None where that was not asked for.
    """

    digest: str
    directory: str
    packages: str | None
    manifest: Manifest
    commit: str | None = None
    branch: str | None = None
    signed_by: str | None = None


class PluginHandle(Protocol):
    """One plugin process. Every call raises PluginCrashed once the process is gone."""

    @property
    def remote_node(self) -> str | None:
        """The node it runs on, if that is another one than the Controller's."""
        ...

    @property
    def last_lines(self) -> Sequence[str]:
        """Log lines that it has not reported; known once it has been killed, and its node could be asked."""
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

    async def take_wanted_runs(self) -> Sequence[str]:
        """Return who has written 1 to RUN since the last call, each as often as he has, and set RUN to 0: it was taken.

        An empty text stands for somebody whom nobody knows.
        """
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


class PluginLauncher(Protocol):
    """Makes bundles and processes."""

    async def fetch(self, source: Source, credential: str | None) -> Bundle:
        """Fetch the source and check what can be checked without running it."""
        ...

    async def reopen(self, source: Source, files: FilesRef) -> Bundle | None:
        """Return a bundle that was kept, or None where it must be fetched: it is gone, damaged, or was never verified.

        Raises:
            PluginRejected: If code may no longer come from its source.
        """
        ...

    async def contents_of(self, source: Source) -> str | None:
        """Return a digest of a directory whose path says nothing, as a Ray job's upload has another one each time.

        None for any other source, and for a directory that cannot be read.
        """
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
