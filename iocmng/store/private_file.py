"""A file with a secret that is made once and then kept."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def make_private_file(file: Path, content: bytes) -> None:
    """Make a file for this user alone: complete or not there at all; of several processes that try, one succeeds.

    Raises:
        OSError: If it cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
