"""Where a Ray job's own files lie on this node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray._private import worker  # no public call tells where a node keeps the files of jobs

from iocmng.settings import Settings


def with_uploads(settings: Settings) -> Settings:
    """Return the settings with one local root more: the directory into which Ray unpacks what jobs bring along.

    So `ray job submit --working-dir DIR -- iocmng apply -f plugins.yaml` may name plugins beside the file. Whoever can
    submit a job can run code on the cluster already.
    """
    node: Any = worker.global_worker.node
    uploads = Path(node.get_runtime_env_dir_path()) / "working_dir_files"
    return settings.model_copy(update={"local_roots": (*settings.roots, uploads.resolve())})
