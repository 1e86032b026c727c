"""From a source to a bundle: everything that can be done and checked without running the author's code."""

from __future__ import annotations

from pathlib import Path

from iocmng.core.manifest import Manifest
from iocmng.core.ports.processes import Bundle
from iocmng.core.source import GitSource, Source, check_source
from iocmng.errors import SourceUnavailable
from iocmng.loading import requirements
from iocmng.loading.bundles import forget_bundles, packages_directory, staging, store_bundle, store_packages
from iocmng.loading.checks import check_syntax, read_manifest
from iocmng.loading.credential_file import read_credential_file
from iocmng.loading.local import copy_local
from iocmng.loading.repository import Origin, clone
from iocmng.settings import Settings

__all__ = ["fetch", "forget_bundles"]


def fetch(source: Source, pat: str | None, settings: Settings) -> Bundle:
    """Fetch a plugin, install its requirements and check its config and syntax.

    If the call returns, the bundle is complete in the store and stays there until `forget_bundles`. If it raises,
    nothing of it is left. Calls for the same source may run at the same time, in any number of processes.

    Args:
        source: Where the plugin is.
        pat: Personal access token for the source's host, used with https only and kept nowhere; not needed where the
            source names a file that holds it.
        settings: Names the store, the local roots and the limits.

    Raises:
        SourceUnavailable: If the repository cannot be fetched.
        PluginRejected: If the plugin fails a check: clone, dependencies, config or syntax.
    """
    check_source(source)
    if isinstance(source, GitSource) and source.credential_file is not None:
        pat = read_credential_file(source.credential_file, settings)
    try:
        with staging(settings) as workspace:
            return _fetch(source, pat, workspace, settings)
    except OSError as error:
        raise SourceUnavailable.because(
            f"the server cannot keep the plugin's files below {settings.state}: {error.strerror or error}; "
            "check its disk and permissions"
        ) from error


def _fetch(source: Source, pat: str | None, workspace: Path, settings: Settings) -> Bundle:
    if isinstance(source, GitSource):
        origin = clone(source, pat, workspace, settings)
    else:
        origin = copy_local(source, workspace, settings)
    files = workspace / "files"
    needed = _requirements_file(files, origin)
    installed = requirements.install(needed, workspace, settings) if needed else None
    manifest = read_manifest(files)
    check_syntax(files)
    return _store(files, installed, manifest, origin, settings)


def _requirements_file(files: Path, origin: Origin) -> Path | None:
    own = files / requirements.FILE_NAME
    return own if own.is_file() else origin.outer_requirements


def _store(
    files: Path, installed: requirements.Installed | None, manifest: Manifest, origin: Origin, settings: Settings
) -> Bundle:
    key = installed.key if installed else None
    if installed and installed.staged:
        store_packages(installed.staged, installed.key, settings)
    directory = store_bundle(files, key, settings)
    return Bundle(
        digest=directory.name,
        directory=str(directory / "files"),
        packages=str(packages_directory(settings, key)) if key else None,
        manifest=manifest,
        commit=origin.commit,
        branch=origin.branch,
    )
