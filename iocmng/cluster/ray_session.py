"""Ray's session directory on this node."""

from __future__ import annotations

from pathlib import Path

import ray._private.worker  # no public call tells where the session lies


def close_session() -> None:
    """Close Ray's session directory, with its logs and sockets, to other users.

    Ray makes it so that everybody may read and write there. What processes of other users have open already, they keep.
    """
    node = ray._private.worker.global_worker.node
    if node is not None:
        Path(node.get_session_dir_path()).chmod(0o700)
