"""The seams of the house: what one room needs of another, as Protocols.

Everything that meets Ray, EPICS, the clock or the network stands behind one of these, so that the rules can be tested
without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import Manifest
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.core.pvs import DeclaredPv
from iocmng.core.source import Source
from iocmng.core.spec import Endpoint, PluginFacts, PluginRequest, PluginSpec, RecordInfo, Report


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

    async def prepare(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> PluginFacts:
        """Import and check the plugin in its process."""
        ...

    async def build(self) -> tuple[RecordInfo, ...]:
        """Make the plugin's object and its records; nothing is served yet."""
        ...

    async def start(self, running: bool) -> tuple[Endpoint, Report]:
        """Serve the PVs and, if running, begin with initialize() and the cycles; return where, and the first report."""
        ...

    async def next_report(self) -> Report:
        """Wait until there is something new to tell; one call at a time. Raises as soon as the process is gone."""
        ...

    async def set_running(self, running: bool) -> Report:
        """Start or stop the cycles; return what the process then says of itself."""
        ...

    async def run_job(self, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], Report]:
        """Run a job once; return its result as a dictionary, and what the process then says of itself."""
        ...

    async def stop(self) -> Report | None:
        """Run cleanup(), then end the process; kill it where that takes too long. Return its last report."""
        ...

    async def kill(self) -> None:
        """End the process now."""
        ...


class PluginLauncher(Protocol):
    """Makes bundles and processes."""

    async def fetch(self, source: Source, pat: str | None) -> Bundle:
        """Fetch the source and check what can be checked without running it."""
        ...

    async def take_process(self) -> PluginHandle:
        """Return a process that waits for a plugin, a warm one where there is one."""
        ...

    async def forget_bundles(self, keep: frozenset[str]) -> None:
        """Remove the files of all bundles except those to be kept, named by digest."""
        ...


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

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """Start or stop a plugin's cycles."""
        ...

    async def run_job(self, name: str, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Run a job; return its result and the version to wait for."""
        ...

    async def logs(self, name: str, tail: int) -> list[str]:
        """Return a plugin's newest log lines, oldest first."""
        ...

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until the snapshot is newer than `after`; return what changed since, or all of it."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the API shows, or the part that changed.

    Attributes:
        epoch: Names the Controller's life; another epoch makes older versions void.
        version: Rises with every change.
        complete: Whether `plugins` is everything; else it is laid over what was known.
        plugins: Plugin objects of the REST contract by name; None for one that is gone.
        ready: Whether the plugins file has been loaded.
    """

    epoch: str
    version: int
    complete: bool
    plugins: Mapping[str, dict[str, Any] | None]
    ready: bool
