"""A credential that child processes may read, and that stands nowhere: no disk, no argument, no environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def secret_file(content: str) -> Iterator[str]:
    """Keep a text in memory for the processes of this user, and return the path under which they read it.

    It is gone with the block, and with this process, however that ends; nobody has to tidy up.
    """
    descriptor = os.memfd_create("credential", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)  # ssh refuses a key that others may read
        with open(os.dup(descriptor), "wb") as file:  # noqa: PTH123
            file.write(content.encode("utf-8", "surrogateescape"))
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)
