"""Whether this process was started by `ray job submit`, and what Ray tells such a process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for what it runs as a job, and for nothing else: runtime_env and metadata of the job."""

_UNPACKED = "working_dir_files"
"""Ray's directory for what `--working-dir` has brought along, each in a directory of its own."""


def is_ray_job() -> bool:
    """Tell whether Ray runs this process as a job."""
    return _CONFIG in os.environ


def uploaded_name(file: Path) -> str | None:
    """Return the name of a file of the job's working directory, relative to it; None for any other file.

    Ray unpacks what `--working-dir` names into a directory whose name changes with its content, so the whole path
    would be another one with each change.
    """
    if not _configured("runtime_env", "working_dir"):
        return None
    return next((str(file.relative_to(above)) for above in file.parents if above.parent.name == _UNPACKED), None)


def submission_id() -> str | None:
    """Return the id by which `ray job submit` names the job that Ray runs this process as."""
    found = _configured("metadata", "job_submission_id")
    return str(found) if found else None


def _configured(section: str, key: str) -> Any:
    try:
        config: dict[str, Any] = json.loads(os.environ.get(_CONFIG, ""))
        return config[section][key]
    except (ValueError, KeyError, TypeError):
        return None
