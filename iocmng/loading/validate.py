"""All checks of a plugin's directory on this machine, as a server makes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from iocmng.core.author_environment import author_environment
from iocmng.core.fatal_errors import fatal_error
from iocmng.core.ports.processes import Bundle
from iocmng.core.source import LocalSource
from iocmng.core.validation import ValidationReport, steps_before
from iocmng.errors import CheckFailure, IocmngError
from iocmng.loading import requirements
from iocmng.loading.check_process import CheckedPlugin, CheckRequest
from iocmng.loading.confinement import allowed_limits
from iocmng.loading.fetch import fetch
from iocmng.loading.processes import Deadline, finish
from iocmng.settings import Settings


def validate(
    directory: Path, name: str, site_prefix: str, settings: Settings, parameters: Mapping[str, Any] | None = None
) -> ValidationReport:
    """Check a plugin's directory; nothing of it stays anywhere.

    The requirements are installed beside the packages of this Python environment, which stand for the server's. Code of
    the plugin runs in a process of its own.

    Args:
        directory: Where the plugin is.
        name: Name under which it would be added.
        site_prefix: PREFIX of all PVs.
        settings: Names the limits.
        parameters: Laid over those of config.yaml, as by an add.
    """
    source = _source(directory.resolve())
    with tempfile.TemporaryDirectory(prefix="iocmng-validate-") as work:
        here = settings.model_copy(
            update={"state_dir": Path(work).resolve() / "state", "local_roots": (Path(source.directory),)}
        )
        try:
            bundle = fetch(source, None, here)
        except IocmngError as error:
            if not error.failures:
                raise
            return ValidationReport(steps_before(error.failures[0].step), error.failures)
        checked = _check_class(bundle, name, site_prefix, here, parameters or {})
    return ValidationReport(checked.passed, checked.failures, checked.facts)


def _source(directory: Path) -> LocalSource:
    """Return the directory as a source; with its repository where the requirements are taken from there."""
    if not (directory / requirements.FILE_NAME).is_file():
        for above in directory.parents:
            if (above / ".git").exists():
                if (above / requirements.FILE_NAME).is_file():
                    return LocalSource(str(above), str(directory.relative_to(above)))
                break
    return LocalSource(str(directory))


def _check_class(
    bundle: Bundle, name: str, site_prefix: str, settings: Settings, parameters: Mapping[str, Any]
) -> CheckedPlugin:
    """Make the checks that run code of the plugin, in a process that is killed after `import_timeout`."""
    work = settings.state / "check"
    work.mkdir()
    answer, trace = work / "answer", work / "trace"
    request = CheckRequest(
        directory=bundle.directory,
        packages=bundle.packages,
        name=name,
        site_prefix=site_prefix,
        parameters=dict(parameters),
        commit=bundle.commit,
        answer=str(answer),
        trace=str(trace),
        limits=allowed_limits(bundle.manifest, settings).model_dump(),
    )
    with tempfile.TemporaryFile(dir=work) as question:
        question.write(json.dumps(asdict(request)).encode())
        question.seek(0)
        process = subprocess.Popen(
            # -P: the plugin's directory may be the working one, and its modules must not replace Python's.
            [sys.executable, "-P", "-c", "from iocmng.loading.check_process import main; main()"],
            cwd=work,
            env=author_environment(os.environ, settings.plugin_env),
            stdin=question,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            ended = finish(process, Deadline.after(settings.import_timeout))
        except subprocess.TimeoutExpired:
            return _failed_import(f"did not end within {settings.import_timeout:g} s")
    if answer.is_file():
        return CheckedPlugin.from_json(answer.read_text(encoding="utf-8"))
    how = "by itself: it crashed, called exit, or was killed"
    if ended.returncode >= 0:
        how = f"with exit code {ended.returncode}"
    place = fatal_error(trace.read_text(errors="replace"), bundle.directory) if trace.is_file() else None
    return _failed_import(f"the plugin's process ended {how}{f': {place}' if place else ''}")


def _failed_import(message: str) -> CheckedPlugin:
    return CheckedPlugin(steps_before("import"), (CheckFailure("import", message),))
