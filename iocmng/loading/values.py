"""Where saved PV values lie, and where plugins work: one directory each for each plugin."""

from __future__ import annotations

import contextlib
import shutil

from iocmng.settings import Settings


def forget_values(settings: Settings, keep: frozenset[str]) -> None:
    """Remove the saved values and the working directories of all plugins except those to be kept, by name."""
    for place in (settings.all_values_dir, settings.all_work_dir):
        with contextlib.suppress(FileNotFoundError):
            for directory in place.iterdir():
                if directory.name not in keep:
                    shutil.rmtree(directory, ignore_errors=True)
