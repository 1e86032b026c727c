"""From a source to a bundle: everything that can be done and checked without running the author's code."""

from __future__ import annotations

from pathlib import Path

from iocmng.core.manifest import Manifest
from iocmng.core.ports.processes import Bundle
from iocmng.core.source import GitSource, Source, check_source
from iocmng.core.spec import FilesRef
from iocmng.errors import SourceUnavailable
from iocmng.loading import requirements
from iocmng.loading.bundles import (
    forget_bundles,
    open_bundle,
    packages_directory,
    staging,
    store_bundle,
    store_packages,
)
from iocmng.loading.checks import check_syntax, read_manifest
from iocmng.loading.confinement import allowed_limits
from iocmng.loading.credential_file import read_credential_file
from iocmng.loading.local import copy_local
from iocmng.loading.places import check_origin
from iocmng.loading.repository import Origin, clone
from iocmng.loading.signatures import needs_signature
from iocmng.settings import Settings

__all__ = ["fetch", "forget_bundles", "reopen"]


def fetch(source: Source, credential: str | None, settings: Settings) -> Bundle:
    """Fetch a plugin, install its requirements and check its config and syntax.

    If the call returns, the bundle is complete in the store and stays there until `forget_bundles`. If it raises,
    nothing of it is left. Calls for the same source may run at the same time, in any number of processes.

    Args:
        source: Where the plugin is.
        credential: Personal access token, or ssh key where the source says so, for the source's host; kept nowhere, and
            not needed where the source names a file that holds it.
        settings: Names the store, the local roots and the limits.

    Raises:
        SourceUnavailable: If the repository cannot be fetched.
        PluginRejected: If code may not come from there, or the plugin fails a check: clone, dependencies, config or
            syntax.
    """
    check_source(source)
    check_origin(source, settings)
    if isinstance(source, GitSource) and source.credential_file is not None:
        key = "ssh_key_file" if source.uses_key else "pat_file"
        credential = read_credential_file(source.credential_file, key, settings)
    try:
        with staging(settings) as workspace:
            return _fetch(source, credential, workspace, settings)
    except OSError as error:
        raise SourceUnavailable.because(
            f"the server cannot keep the plugin's files below {settings.state}: {error.strerror or error}; "
            "check its disk and permissions"
        ) from error


def reopen(source: Source, files: FilesRef, settings: Settings) -> Bundle | None:
    """Return the bundle that a plugin was started from before.

    None where it is not there or is damaged, and where its source needs a signature that was not asked for when it
    was fetched: it must be fetched again then.

    Raises:
        PluginRejected: If code may no longer come from its source.
    """
    check_origin(source, settings)
    if needs_signature(source, settings) and files.signed_by is None:
        return None
    return open_bundle(files, settings)


def _fetch(source: Source, credential: str | None, workspace: Path, settings: Settings) -> Bundle:
    if isinstance(source, GitSource):
        origin = clone(source, credential, workspace, settings)
    else:
        origin = copy_local(source, workspace, settings)
    files = workspace / "files"
    needed = _requirements_file(files, origin)
    installed = requirements.install(needed, workspace, settings) if needed else None
    manifest = read_manifest(files)
    allowed_limits(manifest, settings)
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
        signed_by=origin.signed_by,
    )
