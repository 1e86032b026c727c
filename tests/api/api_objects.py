"""Plugin objects as the Controller shows them."""

from __future__ import annotations

from typing import Any

from iocmng.core.runs import OPEN, Run, RunState


def plugin_object(name: str, kind: str | None = "task", **changes: Any) -> dict[str, Any]:
    """Return a plugin object with all keys of the contract."""
    prefix = f"BL:NS:{name.upper()}"
    records = [
        {"name": f"{prefix}:STATUS", "record_type": "mbbi", "direction": "output", "built_in": True, "alias": None},
        {"name": f"{prefix}:GAIN", "record_type": "ao", "direction": "input", "built_in": False, "alias": None},
    ]
    definitions = {"inputs": {"GAIN": {"type": "float", "unit": "V"}}, "outputs": {}}
    return {
        "name": name,
        "plugin_type": kind,
        "class_name": "Mine",
        "git_url": "https://git.example.org/plugins.git",
        "local_path": None,
        "path": name,
        "branch": "main",
        "commit": "0123456789abcdef",
        "status": "running",
        "running": True,
        "cycle_count": 7,
        "overruns": 0,
        "mode": "continuous",
        "pv_prefix": "BL:NS",
        "plugin_prefix": name.upper(),
        "parameters": {"interval": 1.0},
        "start_parameters": {},
        "parameters_schema": None,
        "arguments": definitions,
        "pv_definitions": definitions,
        "base_control_pvs": ["ENABLE", "STATUS"],
        "additional_input_pvs": ["GAIN"],
        "additional_output_pvs": [],
        "built_pvs": [record["name"] for record in records],
        "auto_start": True,
        "auto_start_on_boot": None,
        "autostart_order": None,
        "validation": {"ok": True, "errors": [], "failures": [], "warnings": []},
        "message": "",
        "state": "RUN",
        "node": "node-1",
        "pid": 4242,
        "endpoint": {"host": "10.0.0.1", "ca_port": 5064, "pva_port": 5075, "public_host": None},
        "records": records,
        "restarts": 0,
        "crashes": 0,
        "last_exit": None,
        "next_try": None,
        "hung": False,
        "generation": 1,
        "owner": None,
        "resources": {},
        "node_labels": {},
        "schedule": None,
        "next_run": None,
        "runs": {"queued": 0, "running": [], "last": None} if kind == "job" else None,
        "devices": [],
    } | changes


def run_of(job: str, number: int = 1, state: RunState = RunState.SUCCESS, **changes: Any) -> Run:
    """Return a run of a job."""
    began = 1_700_000_000.0 + 10 * number
    ended = None if state in OPEN else began + 2
    return Run(
        **{"id": number, "job": job, "state": state, "queued_at": began, "who": "rest", "generation": 1}
        | {"started_at": began + 1, "ended_at": ended}
        | changes
    )
