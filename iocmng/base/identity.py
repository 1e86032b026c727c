"""What a plugin is told about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iocmng.base.parameters import CheckedParameters, ParameterRules
from iocmng.base.plugin import PluginBase
from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.manifest import NO_SCHEDULE, Manifest, check_record_names
from iocmng.core.pvs import DeclaredPv
from iocmng.errors import CheckFailure, PluginRejected


@dataclass(frozen=True, slots=True)
class Identity:
    """A plugin's name, prefix, parameters and PVs, checked against each other.

    Attributes:
        parameters: As the plugin gets them.
        checked: The same, with what checks those of a run.
        watchdog: Seconds that a call of the author's code may take; None means no limit.
        warnings: What config.yaml should say in another way.
    """

    name: str
    pv_prefix: str
    mode: Mode
    parameters: Mapping[str, Any]
    pvs: tuple[DeclaredPv, ...]
    version: str
    checked: CheckedParameters
    watchdog: float | None = None
    warnings: tuple[str, ...] = ()


def identify(
    name: str,
    pv_prefix: str,
    cls: type[PluginBase],
    manifest: Manifest,
    overrides: Mapping[str, Any],
    commit: str | None,
) -> Identity:
    """Return the identity of a plugin. To be called in the author's thread: a model of the parameters is their code.

    Args:
        name: Name under which it was added.
        pv_prefix: What stands before each of its PVs, without the last colon.
        cls: Its class.
        manifest: Its config.yaml.
        overrides: Parameters laid over those of config.yaml.
        commit: Commit of its files, if they come from git.

    Raises:
        PluginRejected: For the step `config`, if a parameter, a PV's name or a record name does not fit, or a task
            has a schedule.
    """
    if cls.kind is Kind.TASK and manifest.schedule is not None:
        raise PluginRejected.because(CheckFailure("config", f"schedule: {NO_SCHEDULE}"))
    given = manifest.merged_parameters(overrides)
    # A job's required parameters may come with the run.
    checked = ParameterRules(manifest.parameters_schema, cls).check(given, complete=cls.kind is Kind.TASK)
    parameters = checked.values
    mode = Mode(parameters["mode"])
    declared = manifest.declared(cls.kind, mode)
    check_record_names(pv_prefix, declared.pvs)
    version = parameters.get("version")
    return Identity(
        name=name,
        pv_prefix=pv_prefix,
        mode=mode,
        parameters=parameters,
        pvs=declared.pvs,
        checked=checked,
        version=str(version if version is not None else short(commit)),
        watchdog=manifest.watchdog.seconds if manifest.watchdog else None,
        warnings=(*manifest.warnings, *declared.warnings),
    )


def short(commit: str | None) -> str:
    """Return a commit as VERSION shows it."""
    return commit[:7] if commit else "local"
