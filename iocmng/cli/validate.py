"""`iocmng validate`: the checks of a server, here and now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from iocmng.cli.output import printable
from iocmng.core.names import check_plugin_name, check_prefix, site_prefix
from iocmng.core.validation import StepState, ValidationReport
from iocmng.errors import InvalidRequest
from iocmng.loading.validate import validate as check
from iocmng.settings import load_settings

_COLOURS = {
    StepState.OK: typer.colors.GREEN,
    StepState.FAILED: typer.colors.RED,
    StepState.NOT_RUN: typer.colors.BRIGHT_BLACK,
}


def validate(
    directory: Path, name: str | None, prefix: str | None, parameters: Mapping[str, Any], as_json: bool
) -> bool:
    """Check a plugin's directory and print the report; return whether a server takes it.

    Args:
        directory: Where the plugin is.
        name: Name under which it would be added; None takes the directory's.
        prefix: PREFIX of all PVs; None takes that of the settings.
        parameters: Laid over those of config.yaml, as by an add.
        as_json: Print the `validation` object of the REST API, and nothing else.

    Raises:
        InvalidRequest: If there is no such directory, or name or prefix does not fit.
    """
    if not directory.is_dir():
        raise InvalidRequest(f"there is no directory {directory}")
    settings = load_settings()
    name = check_plugin_name(name or directory.resolve().name)
    site = check_prefix(prefix) if prefix else site_prefix(settings.prefix, settings.beamline())
    report = check(directory, name, site, settings, parameters)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
    else:
        _print(report, name)
    return report.ok


def _print(report: ValidationReport, name: str) -> None:
    for step, state in report.steps().items():
        typer.echo(f"{step:<18}{typer.style(state.value, fg=_COLOURS[state])}")
        for failure in report.failures:
            if failure.step == step:
                place = f"{failure.file}{f', line {failure.line}' if failure.line else ''}: " if failure.file else ""
                typer.echo(printable(f"    {place}{failure.message}"))
    for warning in report.warnings:
        typer.echo(printable(f"warning: {warning}"))
    if report.facts:
        kind = " ".join(filter(None, (report.facts.mode, report.facts.kind.value)))
        typer.echo(f"{name} is a {kind}: {report.facts.class_name}, PVs {report.facts.pv_prefix}:…")
    else:
        typer.echo(f"a server would reject {name}")
