"""The requirements of a plugin that runs in a process of its own, without a server."""

from __future__ import annotations

import tempfile
from pathlib import Path

from iocmng.loading.bundles import packages_directory, store_packages
from iocmng.loading.requirement_lines import FILE_NAME
from iocmng.loading.requirements import install
from iocmng.settings import Settings


def install_beside(directory: Path, settings: Settings) -> str | None:
    """Install what the requirements.txt of a plugin's directory names and this Python does not have.

    What was installed once is found again at the next start, and needs no package index then.

    Returns:
        The directory that joins the plugin's path; None where nothing is needed.

    Raises:
        PluginRejected: Step dependencies.
    """
    requirements = directory / FILE_NAME
    if not requirements.is_file():
        return None
    # Not where the server keeps its own: it removes what none of its plugins uses.
    own = settings.model_copy(update={"state_dir": settings.state / "run"})
    own.state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own.state) as workspace:
        installed = install(requirements, Path(workspace), own)
        if installed is None:
            return None
        if installed.staged is not None:
            return str(store_packages(installed.staged, installed.key, own))
    return str(packages_directory(own, installed.key))
