"""Which Ray job this process is, as Ray tells it."""

from __future__ import annotations

import json
import os
from typing import Any

CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for what it runs as a job, and for nothing else: runtime_env and metadata of the job."""


def configured(section: str, key: str) -> Any:
    """Return what Ray has configured for the job, or None where it has nothing, or this process is no job."""
    try:
        config: dict[str, Any] = json.loads(os.environ.get(CONFIG, ""))
        return config[section][key]
    except (ValueError, KeyError, TypeError):
        return None


def job_name() -> str:
    """Return who the audit says has come where somebody comes from within the cluster."""
    import ray

    submitted = configured("metadata", "job_submission_id")
    return f"ray job {ray.get_runtime_context().get_job_id()}{f' ({submitted})' if submitted else ''}"
