"""Where a Ray job's own files lie on this node."""

from __future__ import annotations

from pathlib import Path

import ray

from iocmng.settings import Settings


def with_uploads(settings: Settings) -> Settings:
    """Return the settings with one local root more: the directory into which Ray unpacks what jobs bring along.

    So `ray job submit --working-dir DIR -- iocmng apply -f plugins.yaml` may name plugins beside the file. Whoever can
    submit a job can run code on the cluster already.
    """
    node = ray._private.worker.global_worker.node  # pyright: ignore[reportAttributeAccessIssue]  no public call tells it
    uploads = Path(node.get_runtime_env_dir_path()) / "working_dir_files"
    return settings.model_copy(update={"local_roots": (*settings.roots, uploads.resolve())})
