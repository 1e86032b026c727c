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
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.utils import canonicalize_name

from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.base_environment import (
    BaseEnvironment,
    fits,
    parse_requirement,
    remove_duplicates,
    running_environment,
)
from iocmng.loading.bundles import packages_directory
from iocmng.loading.processes import Deadline, finish, inherited_environment
from iocmng.loading.tree import tree_digest
from iocmng.loading.uv_errors import condense
from iocmng.settings import Settings

FILE_NAME = "requirements.txt"
MAX_BYTES = 256 * 1024

_COMMENT = re.compile(r"(^|\s)#.*$")
_NAMES_A_FILE = re.compile(r"^(?:-[rcf]|--requirement|--constraint|--find-links)[\s=]*(?P<file>\S+)")
_ARCHIVES = (".whl", ".tar.gz", ".zip")


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement or option of the file, continuation lines joined.

    Attributes:
        number: Line it begins at, counted from 1.
    """

    number: int
    text: str


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
    lines = _read(requirements)
    base = running_environment()
    for line in lines:
        _check(line, base)
    if all((parsed := parse_requirement(line.text)) and base.satisfies(parsed) for line in lines):
        return None
    is_local = any(_names_local_file(line.text) for line in lines)
    key = _key(lines, base, tree_digest(requirements.parent) if is_local else "")
    if packages_directory(settings, key).is_dir():
        return Installed(key, None)
    # Building a package writes beside its source, hence a copy.
    source = workspace / "install"
    if is_local:
        shutil.copytree(requirements.parent, source, symlinks=True)
    else:
        source.mkdir()
        shutil.copyfile(requirements, source / FILE_NAME)
    target = workspace / "packages"
    _run_uv(source, target, workspace, settings, base, lines)
    remove_duplicates(target, base)
    return Installed(key, target)


def _run_uv(
    source: Path, target: Path, workspace: Path, settings: Settings, base: BaseEnvironment, lines: list[Line]
) -> None:
    target.mkdir()
    try:
        process = subprocess.Popen(
            _command(target, workspace, base),
            cwd=source,
            env=_environment(workspace),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        finished = finish(process, Deadline.after(settings.requirements_timeout))
    except FileNotFoundError as error:
        raise _rejected("uv is not installed on the server; install the package `uv`") from error
    except subprocess.TimeoutExpired as error:
        raise _rejected(
            f"the installation took longer than {settings.requirements_timeout:g} s; "
            "try again, or raise IOCMNG_REQUIREMENTS_TIMEOUT"
        ) from error
    if finished.returncode != 0:
        message = condense(finished.stderr, (source, workspace), base)
        raise _rejected(message, _culprit(lines, message))
    (target / ".lock").unlink(missing_ok=True)


def _command(target: Path, workspace: Path, base: BaseEnvironment) -> list[str]:
    constraints, overrides = workspace / "base.txt", workspace / "provided.txt"
    constraints.write_text(base.constraints(), encoding="utf-8")
    overrides.write_text(base.overrides(), encoding="utf-8")
    return [
        *(uv.find_uv_bin(), "pip", "install", "--no-progress", "--color=never", *_configuration()),
        *(f"--target={target}", f"--constraint={constraints}", f"--overrides={overrides}"),
        *(f"--python={sys.executable}", "--compile-bytecode", "-r", FILE_NAME),
    ]


def _configuration() -> list[str]:
    """Keep uv from reading the author's pyproject.toml; a site configures it with UV_… variables."""
    return [] if os.environ.get("UV_CONFIG_FILE") else ["--no-config"]


def _environment(workspace: Path) -> dict[str, str]:
    variables = {**inherited_environment(os.environ), "GIT_TERMINAL_PROMPT": "0"}
    if "UV_CACHE_DIR" not in variables and not os.access(Path("~").expanduser(), os.W_OK):
        variables["UV_CACHE_DIR"] = str(workspace / "uv-cache")
    return variables


def _read(path: Path) -> list[Line]:
    """Return the lines that say something."""
    if path.stat().st_size > MAX_BYTES:
        raise _rejected(f"the file is larger than {MAX_BYTES // 1024} KiB; list packages only")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _rejected("the file is not UTF-8; save it in this encoding") from error
    lines: list[Line] = []
    begun: Line | None = None
    for number, piece in enumerate(text.splitlines(), 1):
        words = _COMMENT.sub("", piece).strip()
        line = Line(begun.number, f"{begun.text} {words}") if begun else Line(number, words)
        begun = Line(line.number, line.text[:-1].strip()) if line.text.endswith("\\") else None
        if begun is None and line.text.strip():
            lines.append(line)
    return [*lines, begun] if begun and begun.text else lines


def _check(line: Line, base: BaseEnvironment) -> None:
    if line.text.startswith(("-e", "--editable")):
        raise _rejected(
            "an editable installation has no place in a plugin; name the package or its path without -e", line.number
        )
    parsed = parse_requirement(line.text)
    version = base.provided.get(canonicalize_name(parsed.name)) if parsed else None
    if parsed is None or version is None or (parsed.marker and not parsed.marker.evaluate()):
        return
    if parsed.extras:
        raise _rejected(
            f"{parsed.name} is part of this server and comes without the extra {', '.join(sorted(parsed.extras))}; "
            "name the packages of the extra themselves",
            line.number,
        )
    if not fits(parsed, version):
        raise _rejected(
            f"the plugin needs {line.text}, but this server is {parsed.name} {version} and plugins cannot replace it",
            line.number,
        )


def _names_local_file(text: str) -> bool:
    """Tell whether a line's meaning depends on a file beside it."""
    if option := _NAMES_A_FILE.match(text):
        return _is_relative(option["file"])
    if text.startswith("-"):
        return False
    words = text.partition(";")[0].strip()
    if "@" in words and "://" not in words.partition("@")[0]:
        return _is_relative(words.partition("@")[2].strip())
    return _is_relative(words) and (words.startswith(".") or words.endswith(_ARCHIVES))


def _is_relative(place: str) -> bool:
    if place.startswith("file:"):
        return not place.startswith("file:/")
    return "://" not in place and not place.startswith("/")


def _key(lines: list[Line], base: BaseEnvironment, local_files: str) -> str:
    python = f"{platform.python_version()} {sysconfig.get_platform()} {sys.implementation.cache_tag}"
    parts = (python, base.constraints(), base.overrides(), *(line.text for line in lines), local_files)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _culprit(lines: list[Line], message: str) -> int | None:
    """Return the first line whose package the message names."""
    for line in lines:
        parsed = parse_requirement(line.text)
        word = parsed.name if parsed else re.split(r"[/\s]", line.text)[-1]
        if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", message, re.IGNORECASE):
            return line.number
    return None


def _rejected(message: str, line: int | None = None) -> PluginRejected:
    return PluginRejected.because(CheckFailure("dependencies", message, FILE_NAME, line))
