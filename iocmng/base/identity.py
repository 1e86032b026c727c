"""What a plugin is told about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.manifest import NO_SCHEDULE, Manifest, check_record_names
from iocmng.core.pvs import DeclaredPv
from iocmng.errors import CheckFailure, PluginRejected


@dataclass(frozen=True, slots=True)
class Identity:
    """A plugin's name, prefix, parameters and PVs, checked against each other."""

    name: str
    pv_prefix: str
    mode: Mode
    parameters: Mapping[str, Any]
    pvs: tuple[DeclaredPv, ...]
    version: str
    watchdog: float | None = None
    """Seconds that a call of the author's code may take; None means no limit."""


def identify(
    name: str, pv_prefix: str, kind: Kind, manifest: Manifest, overrides: Mapping[str, Any], commit: str | None
) -> Identity:
    """Return the identity of a plugin.

    Args:
        name: Name under which it was added.
        pv_prefix: What stands before each of its PVs, without the last colon.
        kind: What its class is.
        manifest: Its config.yaml.
        overrides: Parameters laid over those of config.yaml.
        commit: Commit of its files, if they come from git.

    Raises:
        PluginRejected: For the step `config`, if a parameter, a PV's name or a record name does not fit, or a task
            has a schedule.
    """
    if kind is Kind.TASK and manifest.schedule is not None:
        raise PluginRejected.because(CheckFailure("config", f"schedule: {NO_SCHEDULE}"))
    parameters = manifest.merged_parameters(overrides)
    mode = Mode(parameters["mode"])
    pvs = manifest.declared_pvs(kind, mode)
    check_record_names(pv_prefix, pvs)
    version = parameters.get("version")
    return Identity(
        name=name,
        pv_prefix=pv_prefix,
        mode=mode,
        parameters=parameters,
        pvs=pvs,
        version=str(version if version is not None else short(commit)),
        watchdog=manifest.watchdog.seconds if manifest.watchdog else None,
    )


def short(commit: str | None) -> str:
    """Return a commit as VERSION shows it."""
    return commit[:7] if commit else "local"
