"""Whether this process was started by `ray job submit`, and what Ray tells such a process."""

from __future__ import annotations

import os
from pathlib import Path

from iocmng.cluster.ray_job import CONFIG, configured

_UNPACKED = "working_dir_files"
"""Ray's directory for what `--working-dir` has brought along, each in a directory of its own."""


def is_ray_job() -> bool:
    """Tell whether Ray runs this process as a job."""
    return CONFIG in os.environ


def uploaded_name(file: Path) -> str | None:
    """Return the name of a file of the job's working directory, relative to it; None for any other file.

    Ray unpacks what `--working-dir` names into a directory whose name changes with its content, so the whole path
    would be another one with each change.
    """
    if not configured("runtime_env", "working_dir"):
        return None
    return next((str(file.relative_to(above)) for above in file.parents if above.parent.name == _UNPACKED), None)
