"""The calls that replace a plugin by another generation of it."""

from __future__ import annotations

from dataclasses import replace

from iocmng.cluster.calls import Calls
from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import NO_SCHEDULE
from iocmng.core.plugins_file import changed_spec
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.source import GitSource, Source
from iocmng.core.spec import PluginSpec
from iocmng.core.state import Cause, GenerationResult, PluginEntry
from iocmng.errors import InvalidRequest, WrongState


class Replacements(Calls):
    """Restart, rollback, change. If the new version fails, the old one runs, and the error says so."""

    async def restart(self, name: str, kind: Kind | None) -> int:
        """Fetch a plugin again and replace it; if the new version fails, the old one runs.

        Raises:
            WrongState: If something else is being done to it.
            IocmngError: Why the new version could not be started.
        """
        return await self._replace(replace(await self._find_idle(name, kind), files=None), Cause.RESTART)

    async def rollback(self, name: str, kind: Kind | None, number: int | None) -> int:
        """Replace a plugin by an earlier generation of it.

        Args:
            name: Name of the plugin.
            kind: What the caller expects it to be.
            number: Which one; None is the newest one that ran and differs from the present one.

        Raises:
            WrongState: If there is none to return to.
            IocmngError: Why it could not be started.
        """
        spec = await self._find_idle(name, kind)
        history = [one for one in await self._keeper.generations(name) if one.result is GenerationResult.STARTED]
        if number is None:
            earlier = (one for one in history if one.number < spec.generation and not _same(one.spec, spec))
            target = next(earlier, None)
        else:
            target = next((one for one in history if one.number == number), None)
        if target is None:
            ran = ", ".join(str(one.number) for one in history) or "none"
            raise WrongState(f"{name} has no such generation to return to; those that ran and are kept: {ran}")
        old = target.spec
        wanted = replace(
            spec,
            source=_source_of_then(spec.source, old.source),
            parameters=old.parameters,
            resources=old.resources,
            node=old.node,
            files=old.files,
        )
        return await self._replace(wanted, Cause.ROLLBACK)

    async def change(self, name: str, kind: Kind | None, change: PluginChange) -> int:
        """Change what is desired of a plugin, and replace it where that is needed.

        Raises:
            InvalidRequest: If the change does not fit the plugin's source.
            IocmngError: Why the changed version could not be started; the old one runs then.
        """
        spec = await self._find_idle(name, kind)
        changed = change.of(spec)
        facts = self._registry.observed[name].facts
        if "schedule" in change.model_fields_set and facts is not None and facts.kind is Kind.TASK:
            raise InvalidRequest(f"schedule: {NO_SCHEDULE}")
        if change.changes_credential:
            await self._keeper.set_credential(name, change.credential)
        if change.needs_replacement:
            files = spec.files if changed.source == spec.source else None
            return await self._replace(replace(changed, files=files), Cause.CHANGE)
        await self._keeper.save(changed)
        self._registry.desire(changed)
        return self._registry.announced

    async def replace_by(self, name: str, request: PluginRequest) -> int:
        """Make a plugin what an entry of a plugins file says.

        Raises:
            IocmngError: Why that could not be started; the old version runs then.
        """
        spec = await self._find_idle(name, None)
        entry = self._keeper.entry(name)
        changed = changed_spec(entry or PluginEntry(spec), request, self._keeper.next_number(spec))
        if changed.generation == spec.generation:
            await self._keeper.save(changed)
            self._registry.desire(changed)
            return self._registry.announced
        return await self._replace(replace(changed, generation=spec.generation), Cause.APPLY)

    async def move(self, name: str, source: Source) -> None:
        """Note that the same files lie elsewhere; the plugin runs on, and its next restart fetches them there."""
        moved = replace(self._find(name, None), source=source)
        await self._keeper.save(moved)
        self._registry.desire(moved)

    async def _replace(self, wanted: PluginSpec, cause: Cause) -> int:
        name = wanted.name
        self._operations.causes[name] = cause
        self._registry.desire_instead(replace(wanted, generation=self._keeper.next_number(wanted)))
        return await self._settled(name)


def _source_of_then(present: Source, earlier: Source) -> Source:
    """Return an earlier source, as it may be used now.

    The credential that is kept is the present one's, and is for its repository only. A signature that is asked for now
    is asked for of earlier code, too.
    """
    if not isinstance(earlier, GitSource):
        return earlier
    if isinstance(present, GitSource) and present.require_signed:
        earlier = replace(earlier, require_signed=True)
    if earlier.credential_file is not None:
        return earlier
    if isinstance(present, GitSource) and present.url == earlier.url and present.credential_file is None:
        return replace(earlier, has_credential=present.has_credential, uses_key=present.uses_key)
    return replace(earlier, has_credential=False, uses_key=False)


def _same(one: PluginSpec, other: PluginSpec) -> bool:
    """Tell whether two generations would run the same files with the same parameters."""
    digests = {spec.files.digest if spec.files else None for spec in (one, other)}
    return len(digests) == 1 and one.parameters == other.parameters
