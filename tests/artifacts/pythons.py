"""The Pythons that pyproject.toml promises, and environments of them with nothing but a wheel and what it needs."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from docs_blocks import ROOT
from uv import find_uv_bin

_CANNOT_REACH = ("error sending request", "dns error", "Failed to fetch", "Network is unreachable")


def supported() -> list[str]:
    """Return the versions of Python that the classifiers name, such as 3.11."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    begin = "Programming Language :: Python :: "
    return [line.removeprefix(begin) for line in classifiers if line.startswith(f"{begin}3.")]


def install(wheel: Path, version: str, directory: Path) -> Path:
    """Return the Python of an environment with a wheel and the locked versions of all that it needs.

    Skip where that Python, or the package index, cannot be reached.
    """
    environment = directory / "environment"
    uv("venv", "--python", find_python(version, directory), environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--compile-bytecode", "--python", python, "-c", ROOT / "requirements.lock", wheel)
    return python


def find_python(version: str, directory: Path) -> Path:
    """Return a Python of a version: one of this machine, else one that uv downloads."""
    # Not by uv: it gives up at the first program of that name that cannot be run, as those of pyenv's shims.
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    places = [*map(Path, os.get_exec_path()), *sorted(pyenv.glob(f"versions/{version}.*/bin"))]
    for program in (place / f"python{version}" for place in places):
        if program.is_file() and subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0:
            return program
    uv("python", "install", "--install-dir", directory / "pythons", version)
    (found,) = (directory / "pythons").glob(f"cpython-{version}.*/bin/python{version}")
    return found


def uv(*command: str | Path) -> str:
    """Run uv and return what it prints; skip where it cannot reach what it has to download."""
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [find_uv_bin(), *command], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode and any(words in done.stderr for words in _CANNOT_REACH):
        pytest.skip(f"uv {' '.join(map(str, command[:2]))} cannot download: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return done.stdout
