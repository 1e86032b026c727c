"""Where a Ray job's own files lie on this node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray._private import worker  # no public call tells where a node keeps the files of jobs

from iocmng.core.source import LocalSource, Source
from iocmng.loading.tree import tree_digest
from iocmng.settings import Settings


def with_uploads(settings: Settings) -> Settings:
    """Return the settings with one local root more: the directory into which Ray unpacks what jobs bring along.

    So `ray job submit --working-dir DIR -- iocmng apply -f plugins.yaml` may name plugins beside the file. Whoever can
    submit a job can run code on the cluster already.
    """
    return settings.model_copy(update={"local_roots": (*settings.roots, _uploads())})


def digest_of_upload(source: Source) -> str | None:
    """Return the digest of a directory that a job has brought along; None for any other source, or if it is gone."""
    if not isinstance(source, LocalSource) or source.path:
        return None
    directory = Path(source.directory).resolve()
    if not directory.is_relative_to(_uploads()) or not directory.is_dir():
        return None
    try:
        return tree_digest(directory)
    except OSError:
        return None


def _uploads() -> Path:
    node: Any = worker.global_worker.node
    return (Path(node.get_runtime_env_dir_path()) / "working_dir_files").resolve()
