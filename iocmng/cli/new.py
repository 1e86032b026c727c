"""`iocmng new`: a git repository with a plugin, from the template that iocmng brings along."""

from __future__ import annotations

import getpass
import importlib.util
import keyword
import os
import re
import shutil
import socket
import subprocess
import tempfile
from enum import StrEnum
from pathlib import Path

import typer

import iocmng
from iocmng.core.names import check_plugin_name
from iocmng.errors import InvalidRequest, IocmngError

TEMPLATE = Path(iocmng.__file__).parent / "_template"

GIT_TIMEOUT = 30.0
"""Seconds that one git command may take."""

_OTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Variables by which git, inside of a hook for example, finds another repository than that of its working directory."""

_TAKEN_MODULES = frozenset({"setup", "conftest", "tests"})
_TAKEN_CLASSES = frozenset({"TaskBase", "JobBase", "JobResult", "DeclarativeTask", "TemporaryError"})


class TemplateKind(StrEnum):
    """What the template can make."""

    TASK = "task"
    TRIGGERED = "triggered"
    DECLARATIVE = "declarative"
    JOB = "job"

    @property
    def words(self) -> str:
        """What it is, in words."""
        return f"{self.value} task" if self in (TemplateKind.TRIGGERED, TemplateKind.DECLARATIVE) else self.value


def new(directory: Path, kind: TemplateKind, name: str | None) -> None:
    """Make a repository with a plugin of this kind, its tests, and a first commit.

    Args:
        directory: Where; made if it is not there.
        kind: What the plugin is to be.
        name: Name of the plugin; None takes the directory's.

    Raises:
        InvalidRequest: If something is in the directory already, or the name does not fit.
        IocmngError: If Copier or git is missing, or fails.
    """
    directory = directory.absolute()
    name = check_plugin_name(name or directory.name)
    if directory.is_symlink() or (directory.exists() and (not directory.is_dir() or any(directory.iterdir()))):
        raise InvalidRequest(f"{directory} is there already and not empty; choose another directory")
    answers = {"kind": kind.value, "name": name, "module": module_name(name), "class_name": class_name(name)}
    if shutil.which("git") is None:
        raise IocmngError("iocmng new needs git, which is not installed")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Beside the directory, so that it comes into being whole or not at all.
        with tempfile.TemporaryDirectory(prefix=".iocmng-new-", dir=directory.parent) as work:
            made = Path(work) / directory.name
            _render(made, answers)
            _commit(made, kind)
            _move(made, directory)
    except OSError as error:
        raise IocmngError(f"cannot make {directory}: {error.strerror}") from error
    typer.echo(f"{directory} is a {kind.words} named {name}; its README.md says how to try it", err=True)


def module_name(name: str) -> str:
    """Return a name for the plugin's module: one that Python can import and that nothing else has."""
    module = re.sub(r"\W", "_", name.lower())
    if module[0].isdigit():
        module = f"plugin_{module}"
    is_taken = module in _TAKEN_MODULES or keyword.iskeyword(module) or importlib.util.find_spec(module) is not None
    # pytest, and so iocmng, takes files of such names for tests.
    return f"{module}_plugin" if is_taken or module.startswith("test_") or module.endswith("_test") else module


def class_name(name: str) -> str:
    """Return a name for the plugin's class."""
    camel = "".join(word[:1].upper() + word[1:] for word in re.split(r"[_-]+", name))
    if not camel or camel[0].isdigit():
        camel = f"Plugin{camel}"
    return f"{camel}Plugin" if camel in _TAKEN_CLASSES or keyword.iskeyword(camel) else camel


def _render(directory: Path, answers: dict[str, str]) -> None:
    try:
        import copier
        from copier.errors import CopierError
        from plumbum import local  # by which Copier runs git, to see what a template is
    except ModuleNotFoundError as error:
        raise IocmngError("iocmng new needs Copier: pip install 'iocmng[author]'") from error
    try:
        with local.env():
            for name in _OTHER_REPOSITORY:
                local.env.pop(name, "")
            copier.run_copy(str(TEMPLATE), directory, data=answers, defaults=True, quiet=True)
    except CopierError as error:
        raise IocmngError(f"Copier cannot fill in the template {TEMPLATE}: {error}") from error


def _move(made: Path, directory: Path) -> None:
    if not directory.exists():
        made.rename(directory)
        return
    for entry in made.iterdir():  # an empty directory stays the one it is: a shell may be in it
        entry.rename(directory / entry.name)


def _commit(directory: Path, kind: TemplateKind) -> None:
    """Make a git repository with one commit; the user's settings count, but for what could ask or refuse."""
    _git(directory, "init", "--quiet", "--initial-branch=main")
    _git(directory, "add", "--all", "--force")  # whatever the user's own list of ignored files says
    identity: list[str] = []
    for key, value in (("user.name", _user()), ("user.email", f"{_user()}@{socket.gethostname()}")):
        if not _git(directory, "config", "--default", "", "--get", key):
            identity += ["-c", f"{key}={value}"]
    subject = f"A {kind.words} for iocmng, from its template"
    _git(directory, *identity, "-c", "commit.gpgSign=false", "commit", "--quiet", "--no-verify", "-m", subject)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "author"


def _git(directory: Path, *arguments: str) -> str:
    """Run git and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key not in _OTHER_REPOSITORY}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env=environment | {"GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IocmngError(f"git {arguments[0]} did not end within {GIT_TIMEOUT:g} s") from error
    if done.returncode != 0:
        raise IocmngError(f"git failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()
