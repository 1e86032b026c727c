"""Where saved PV values lie, one directory for each plugin."""

from __future__ import annotations

import contextlib
import shutil

from iocmng.settings import Settings


def forget_values(settings: Settings, keep: frozenset[str]) -> None:
    """Remove the saved values of all plugins except those to be kept, by name."""
    with contextlib.suppress(FileNotFoundError):
        for directory in settings.all_values_dir.iterdir():
            if directory.name not in keep:
                shutil.rmtree(directory, ignore_errors=True)
