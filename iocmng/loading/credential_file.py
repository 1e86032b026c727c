"""Credentials that are only referenced: files in the server's secrets directory."""

from __future__ import annotations

from iocmng.core.source import refused
from iocmng.settings import Settings

MAX_BYTES = 4096


def read_credential_file(name: str, settings: Settings) -> str:
    """Return the PAT that a file of the secrets directory holds.

    Links are followed within the directory: Kubernetes makes a secret's files so.

    Raises:
        PluginRejected: If there is no such directory or file, or the name leads out of the directory. What the file
            holds never appears in the error.
    """
    if settings.secrets_dir is None:
        raise refused(
            "pat_file names a file of the server's secrets directory, and it has none: set IOCMNG_SECRETS_DIR"
        )
    directory = settings.secrets_dir.resolve()
    try:
        file = (directory / name).resolve()
        if not file.is_relative_to(directory):
            raise refused(f"pat_file {name[:200]!r} leads out of the server's secrets directory")
        with file.open("rb") as opened:
            secret = opened.read(MAX_BYTES + 1).decode("utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:
        raise refused(f"pat_file {name[:200]!r} cannot be read in the server's secrets directory") from error
    if not secret or len(secret) > MAX_BYTES:
        raise refused(f"pat_file {name[:200]!r} does not hold a token")
    return secret
