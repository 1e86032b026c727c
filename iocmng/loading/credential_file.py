"""Credentials that are only referenced: files in the server's secrets directory."""

from __future__ import annotations

from iocmng.core.source import refused
from iocmng.settings import Settings

MAX_BYTES = {"pat_file": 4096, "ssh_key_file": 16384}


def read_credential_file(name: str, key: str, settings: Settings) -> str:
    """Return the PAT or the ssh key that a file of the secrets directory holds.

    Links are followed within the directory: Kubernetes makes a secret's files so.

    Args:
        name: Name of the file.
        key: What to call it in messages: pat_file, ssh_key_file.
        settings: Name the directory.

    Raises:
        PluginRejected: If there is no such directory or file, or the name leads out of the directory. What the file
            holds never appears in the error.
    """
    if settings.secrets_dir is None:
        raise refused(f"{key} names a file of the server's secrets directory, and it has none: set IOCMNG_SECRETS_DIR")
    directory, limit = settings.secrets_dir.resolve(), MAX_BYTES[key]
    try:
        file = (directory / name).resolve()
        if not file.is_relative_to(directory):
            raise refused(f"{key} {name[:200]!r} leads out of the server's secrets directory")
        with file.open("rb") as opened:
            secret = opened.read(limit + 1).decode("utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:
        raise refused(f"{key} {name[:200]!r} cannot be read in the server's secrets directory") from error
    if not secret or len(secret) > limit:
        raise refused(f"{key} {name[:200]!r} holds nothing, or far more than a credential")
    return secret
