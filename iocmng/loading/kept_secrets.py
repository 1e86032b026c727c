"""Secrets that outlive the server which was given them: in memory, as files that only this user can read.

They are not put into the state directory: who gets hold of a copy of that must not have the key of its credentials.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from iocmng.errors import ServerUnavailable
from iocmng.settings import Settings

MEMORY = Path("/dev/shm")
"""A file system in the memory of the machine; Ray needs it, too."""


def kept_secrets_directory(settings: Settings) -> Path:
    """Return where the secrets lie of the servers that have the same state."""
    state = hashlib.sha256(os.fsencode(settings.state)).hexdigest()[:16]
    above = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    return above / f"iocmng-{os.getuid()}-{state}"


def keep_secret(settings: Settings, name: str, value: str) -> Path:
    """Keep a secret in a file, in the place of one of the same name, and return its path.

    Raises:
        ServerUnavailable: If that is not possible, or somebody else could read it there.
    """
    directory = kept_secrets_directory(settings)
    file = directory / name
    staged = directory / f"{name}.{secrets.token_hex(8)}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()  # its name can be foreseen
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ServerUnavailable(
                f"{directory} is to hold {name} for the Controller, and other users can get into it; remove it, or "
                f"give {name} in a file (IOCMNG_{name.upper()}_FILE)"
            )
        try:
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(value.encode("utf-8", "surrogateescape"))
            staged.replace(file)
        finally:
            staged.unlink(missing_ok=True)  # where the memory is full
    except OSError as error:
        raise ServerUnavailable(
            f"{name} cannot be kept for the Controller in {directory}: {error.strerror}; give it in a file "
            f"(IOCMNG_{name.upper()}_FILE)"
        ) from error
    return file


def forget_secrets(settings: Settings) -> None:
    """Remove the secrets that were kept."""
    shutil.rmtree(kept_secrets_directory(settings), ignore_errors=True)
