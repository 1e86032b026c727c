"""The plugin object of the REST contract, made from what is desired and what is observed."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from iocmng.core.builtin_pvs import Kind
from iocmng.core.lifecycle import status_word
from iocmng.core.log_lines import plain
from iocmng.core.parameters import OWN_PARAMETERS
from iocmng.core.schedule import Schedule, effective
from iocmng.core.secrets import without_secrets
from iocmng.core.source import GitSource
from iocmng.core.spec import Endpoint, PluginFacts, PluginSpec, PluginStatus
from iocmng.core.state import Generation
from iocmng.core.validation import shown_validation


def shown_status(status: PluginStatus) -> str:
    """Return the `status` of the REST contract."""
    if status.silent:
        return "error"
    source_failed = any(failure.step in ("clone", "initialize") for failure in status.failures)
    return status_word(status.phase, status.report.status if status.report else None, source_failed=source_failed)


def shown_message(status: PluginStatus) -> str:
    """Return what there is to say of a plugin: our own word before the plugin's."""
    return status.message or (status.report.message if status.report else "")


def iso_time(seconds: float | None) -> str | None:
    """Return a moment, in seconds since 1970-01-01 UTC, as ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def line_now(level: str, text: str) -> str:
    """Return a line for a plugin's log, in the form of those that the plugin writes."""
    moment = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return plain(f"{stamp},{int(moment % 1 * 1000):03d} {level} {text}")


def schedule_in_force(spec: PluginSpec, facts: PluginFacts | None) -> Schedule | None:
    """Return when a job runs by itself; None for a task, and before config.yaml has been read."""
    is_job = facts is not None and facts.kind is Kind.JOB
    return effective(spec.schedule, facts.schedule) if facts is not None and is_job else None


def shown_schedule(schedule: Schedule, secrets: frozenset[str] | None) -> dict[str, Any]:
    """Return a schedule as it may be shown."""
    return {**asdict(schedule), "parameters": without_secrets(schedule.parameters, secrets)}


def plugin_view(
    spec: PluginSpec,
    status: PluginStatus,
    owner: str | None = None,
    runs: dict[str, Any] | None = None,
    next_run: float | None = None,
) -> dict[str, Any]:
    """Return the plugin object; what is not known yet is null or empty."""
    facts = status.facts
    is_job = (facts.kind if facts else spec.kind) is Kind.JOB
    schedule = schedule_in_force(spec, facts)
    # Which ones are secret is not known before the code of this generation has been read.
    is_known = facts is not None and status.generation == spec.generation
    secrets = facts.secrets if facts is not None and is_known else None
    start_parameters = without_secrets(spec.parameters, secrets)
    return {
        "name": spec.name,
        "plugin_type": facts.kind.value if facts else (spec.kind.value if spec.kind else None),
        "class_name": facts.class_name if facts else None,
        **_source_keys(spec, status),
        **_observed_keys(status),
        "plugin_prefix": facts.plugin_prefix if facts else None,
        "pv_prefix": facts.pv_prefix if facts else None,
        "mode": (facts.mode or None) if facts else None,
        "parameters": dict(facts.parameters) if facts else start_parameters,
        "start_parameters": start_parameters,
        "parameters_schema": dict(facts.parameters_schema) if facts and facts.parameters_schema is not None else None,
        "arguments": dict(facts.pv_definitions) if facts else {"inputs": {}, "outputs": {}},
        "pv_definitions": dict(facts.pv_definitions) if facts else {"inputs": {}, "outputs": {}},
        **_record_keys(status),
        "auto_start": spec.auto_start,
        "auto_start_on_boot": spec.auto_start_on_boot,
        "autostart_order": spec.autostart_order,
        "validation": shown_validation(status.failures, facts.warnings if facts else ()),
        "restarts": status.restarts,
        "crashes": status.crashes,
        "last_exit": status.last_exit,
        "next_try": iso_time(status.next_try),
        "generation": status.generation or spec.generation,
        "owner": owner,
        "runs": runs if is_job else None,
        "resources": {**(facts.resources if facts else {}), **spec.resources},
        "node_labels": {**(facts.node_labels if facts else {}), **spec.node},
        "schedule": None if schedule is None else shown_schedule(schedule, secrets),
        "next_run": iso_time(next_run),
    }


def _source_keys(spec: PluginSpec, status: PluginStatus) -> dict[str, Any]:
    source, facts = spec.source, status.facts
    is_git = isinstance(source, GitSource)
    return {
        "git_url": source.url if is_git else None,
        "local_path": None if is_git else source.directory,
        "path": source.path,
        "branch": (facts.branch if facts else None) or (source.branch if is_git else None),
        "commit": facts.commit if facts else None,
    }


def _observed_keys(status: PluginStatus) -> dict[str, Any]:
    report = status.report
    return {
        "status": shown_status(status),
        "running": bool(report and report.running),
        "state": report.state if report else None,
        "cycle_count": report.cycle_count if report else 0,
        "overruns": report.overruns if report else 0,
        "message": shown_message(status),
        "hung": status.silent or bool(report and report.hung),
        "devices": [
            {"name": device.name, "prefix": device.prefix, "class": device.class_name}
            for device in (report.devices if report else ())
        ],
    }


def _record_keys(status: PluginStatus) -> dict[str, Any]:
    endpoint, facts = status.endpoint, status.facts
    records = endpoint.records if endpoint else ()
    definitions = facts.pv_definitions if facts else {"inputs": {}, "outputs": {}}
    built_in = [record.name.rpartition(":")[2] for record in records if record.built_in]
    return {
        "base_control_pvs": built_in,
        "additional_input_pvs": list(definitions["inputs"]),
        "additional_output_pvs": list(definitions["outputs"]),
        "built_pvs": [record.name for record in records],
        "records": [asdict(record) for record in records],
        "endpoint": _shown_endpoint(endpoint) if endpoint else None,
        "node": endpoint.node if endpoint else None,
        "pid": endpoint.pid if endpoint else None,
    }


def _shown_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "host": endpoint.host,
        "ca_port": endpoint.ca_port,
        "pva_port": endpoint.pva_port,
        "public_host": endpoint.public_host,
    }


def generation_shown(generation: Generation, facts: PluginFacts | None) -> Generation:
    """Return a generation as it may be shown. What the present one declares no longer may have been a secret."""
    spec = generation.spec
    if facts is None:
        secrets = None
    elif facts.parameters_schema is None:
        secrets = facts.secrets
    else:
        declared = facts.parameters_schema.get("properties", {}).keys() | set(OWN_PARAMETERS)
        secrets = facts.secrets | (spec.parameters.keys() - declared)
    return replace(generation, spec=replace(spec, parameters=without_secrets(spec.parameters, secrets)))
