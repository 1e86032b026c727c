"""A plugin's requirements.txt, installed into a directory that joins the path of that plugin's process only."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.utils import canonicalize_name

from iocmng.loading.base_environment import (
    BaseEnvironment,
    fits,
    parse_requirement,
    remove_duplicates,
    running_environment,
)
from iocmng.loading.bundles import packages_directory
from iocmng.loading.processes import Deadline, Finished, finish, inherited_environment
from iocmng.loading.requirement_lines import FILE_NAME, Line, read_lines, rejected
from iocmng.loading.tree import tree_digest
from iocmng.loading.uv_errors import WHEELS_ONLY, condense
from iocmng.loading.write_limit import WriteLimit, WroteTooMuch, bytes_below
from iocmng.settings import Settings

_SOURCE_ONLY = "--no-binary"

_FILE_TOO_LARGE = re.compile(r"File too large \(os error 27\)")
"""What uv says where it may write no more."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Requirements that are there.

    Attributes:
        key: Names them; equal files under an equal server have equal keys.
        staged: Where they lie until the bundle is stored; None if they are in the store already.
    """

    key: str
    staged: Path | None


def install(requirements: Path, workspace: Path, settings: Settings) -> Installed | None:
    """Install what a requirements file names and the server does not have.

    Args:
        requirements: The file; paths in it are relative to its directory.
        workspace: Staging directory of this fetch.
        settings: Names the store and the time limit.

    Raises:
        PluginRejected: Step dependencies.
    """
    lines = read_lines(requirements, settings)
    base = running_environment()
    wanted = [line for line in lines if not line.is_constraint]
    for line in wanted:
        if line.text.startswith(_SOURCE_ONLY) and not settings.requirements_build:
            raise rejected(f"{_SOURCE_ONLY} asks for a build from source; {WHEELS_ONLY}", line)
        _check(line, base)
    if all((parsed := parse_requirement(line.text)) and base.satisfies(parsed) for line in wanted):
        return None
    is_local = any(line.names_local_file for line in lines)
    key = _key(lines, base, tree_digest(requirements.parent) if is_local else "")
    if packages_directory(settings, key).is_dir():
        return Installed(key, None)
    # Building a package writes beside its source, hence a copy.
    source = workspace / "install"
    if is_local:
        shutil.copytree(requirements.parent, source, symlinks=True)
    else:
        source.mkdir()
    target = workspace / "packages"
    target.mkdir()
    _write_lines(source / FILE_NAME, wanted)
    _write_lines(workspace / "constraints.txt", [line for line in lines if line.is_constraint])
    _install(source, target, workspace, settings, base, lines)
    remove_duplicates(target, base)
    return Installed(key, target)


def _write_lines(file: Path, lines: Sequence[Line]) -> None:
    """Write what was read and checked; the plugin's own file could be read in another way."""
    file.unlink(missing_ok=True)
    file.write_text("".join(f"{line.text}\n" for line in lines), encoding="utf-8")


def _install(
    source: Path, target: Path, workspace: Path, settings: Settings, base: BaseEnvironment, lines: list[Line]
) -> None:
    try:
        finished = _run_uv(_command(target, workspace, base, settings), source, workspace, settings)
    except FileNotFoundError as error:
        raise rejected("uv is not installed on the server; install the package `uv`") from error
    except subprocess.TimeoutExpired as error:
        raise rejected(
            f"the installation took longer than {settings.requirements_timeout:g} s; "
            "try again, or raise IOCMNG_REQUIREMENTS_TIMEOUT"
        ) from error
    if finished is None or bytes_below(target) > settings.requirements_max_bytes:
        raise rejected(
            f"the installation writes more than {settings.requirements_max_bytes} bytes; require less, or raise "
            "IOCMNG_REQUIREMENTS_MAX_BYTES"
        )
    if finished.returncode != 0:
        message = condense(finished.stderr, (source, workspace), base)
        raise rejected(message, _culprit(lines, message))
    (target / ".lock").unlink(missing_ok=True)


def _run_uv(command: list[str], source: Path, workspace: Path, settings: Settings) -> Finished | None:
    """Run uv to its end; return None if it wrote more than it may."""
    process = subprocess.Popen(
        command,
        cwd=source,
        env=_environment(workspace),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        restore_signals=False,  # Python ignores SIGXFSZ, and so does uv then: it tidies up when it may write no more
    )
    limit = WriteLimit(process.pid, settings.requirements_max_bytes)
    try:
        finished = finish(process, Deadline.after(settings.requirements_timeout), limit.watch)
    except WroteTooMuch:
        return None
    return None if limit.exceeded or _FILE_TOO_LARGE.search(finished.stderr) else finished


def _command(target: Path, workspace: Path, base: BaseEnvironment, settings: Settings) -> list[str]:
    constraints, overrides = workspace / "base.txt", workspace / "provided.txt"
    constraints.write_text(base.constraints(), encoding="utf-8")
    overrides.write_text(base.overrides(), encoding="utf-8")
    return [
        *(uv.find_uv_bin(), "pip", "install", "--no-progress", "--color=never", *_configuration()),
        *(f"--target={target}", f"--constraint={constraints}", f"--overrides={overrides}"),
        f"--constraint={workspace / 'constraints.txt'}",
        *(() if settings.requirements_build else ("--only-binary=:all:",)),
        *(f"--python={sys.executable}", "--compile-bytecode", "-r", FILE_NAME),
    ]


def _configuration() -> list[str]:
    """Keep uv from reading the author's pyproject.toml; a site configures it with UV_… variables."""
    return [] if os.environ.get("UV_CONFIG_FILE") else ["--no-config"]


def _environment(workspace: Path) -> dict[str, str]:
    git = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:file"}
    variables = {**inherited_environment(os.environ), **git}
    if "UV_CACHE_DIR" not in variables and not os.access(Path("~").expanduser(), os.W_OK):
        variables["UV_CACHE_DIR"] = str(workspace / "uv-cache")
    return variables


def _check(line: Line, base: BaseEnvironment) -> None:
    parsed = parse_requirement(line.text)
    version = base.provided.get(canonicalize_name(parsed.name)) if parsed else None
    if parsed is None or version is None or (parsed.marker and not parsed.marker.evaluate()):
        return
    if parsed.extras:
        raise rejected(
            f"{parsed.name} is part of this server and comes without the extra {', '.join(sorted(parsed.extras))}; "
            "name the packages of the extra themselves",
            line,
        )
    if not fits(parsed, version):
        raise rejected(
            f"the plugin needs {line.text}, but this server is {parsed.name} {version} and plugins cannot replace it",
            line,
        )


def _key(lines: list[Line], base: BaseEnvironment, local_files: str) -> str:
    python = f"{platform.python_version()} {sysconfig.get_platform()} {sys.implementation.cache_tag}"
    parts = (python, base.constraints(), base.overrides(), *(line.text for line in lines), local_files)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _culprit(lines: list[Line], message: str) -> Line | None:
    """Return the first line whose package the message names."""
    for line in lines:
        parsed = parse_requirement(line.text)
        word = parsed.name if parsed else re.split(r"[/\s]", line.text)[-1]
        if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", message, re.IGNORECASE):
            return line
    return None
