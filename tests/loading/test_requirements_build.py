"""Requirements that would have to be built: their author's code would run as the server's user."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from loading_support import TASK, Store, make_wheel, only_failure, write_files

from iocmng.core.ports.processes import Bundle
from iocmng.core.source import LocalSource
from iocmng.errors import PluginRejected
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings

BACKEND = """\
import pathlib, zipfile

pathlib.Path({trace!r}).write_text("ran")


def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "xpkg-1.0-py3-none-any.whl"
    info = "xpkg-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        wheel.writestr("xpkg/__init__.py", "version = '1.0'\\n")
        wheel.writestr(f"{{info}}/METADATA", "Metadata-Version: 2.1\\nName: xpkg\\nVersion: 1.0\\n")
        wheel.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{{info}}/RECORD", "")
    return name
"""

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "xpkg"
version = "1.0"
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file that the build makes."""
    return tmp_path / "ran"


@pytest.fixture
def source(trace: Path) -> dict[str, str]:
    """A project that has to be built."""
    return {"pyproject.toml": PYPROJECT, "backend.py": BACKEND.format(trace=str(trace))}


def plugin(settings: Settings, text: str, files: dict[str, str]) -> Bundle:
    directory = settings.roots[0] / "plugin"
    write_files(directory, {"monitor.py": TASK, "requirements.txt": text, **files})
    return fetch(LocalSource(str(directory)), None, settings)


def write_sdist(directory: Path, source: dict[str, str]) -> None:
    directory.mkdir()
    with tarfile.open(directory / "xpkg-1.0.tar.gz", "w:gz") as archive:
        for name, text in {**source, "PKG-INFO": "Metadata-Version: 2.1\nName: xpkg\nVersion: 1.0\n"}.items():
            member = tarfile.TarInfo(f"xpkg-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.mark.parametrize("kind", ["sdist", "directory", "no-binary"])
@pytest.mark.parametrize("builds", [True, False])
def test_what_has_to_be_built(
    settings: Settings, store: Store, source: dict[str, str], trace: Path, kind: str, builds: bool
):
    """It is, by default; where the server takes wheels only, it is refused with a sentence, and nothing has run."""
    chosen = settings.model_copy(update={"requirements_build": builds})
    links = settings.roots[0] / "links"
    text, files = f"--no-index\n--find-links {links}\nxpkg\n", {}
    if kind == "directory":
        text, files = "./lib\n", {f"lib/{name}": content for name, content in source.items()}
    else:
        write_sdist(links, source)
    if kind == "no-binary":
        make_wheel(links, "xpkg", "1.0")
        text = f"--no-binary xpkg\n{text}"
    if builds:
        assert plugin(chosen, text, files).packages is not None
        assert trace.exists()
        return
    with pytest.raises(PluginRejected, match=r"takes wheels only.*IOCMNG_REQUIREMENTS_BUILD") as caught:
        plugin(chosen, text, files)
    assert only_failure(caught.value).step == "dependencies"
    assert not trace.exists()
    assert store.is_empty


def test_a_wheel_is_always_taken(settings: Settings, source: dict[str, str], trace: Path):
    """Where there are both, the wheel is."""
    chosen = settings.model_copy(update={"requirements_build": False})
    links = settings.roots[0] / "links"
    write_sdist(links, source)
    make_wheel(links, "xpkg", "1.0")
    assert plugin(chosen, f"--no-index\n--find-links {links}\nxpkg\n", {}).packages is not None
    assert not trace.exists()


@pytest.mark.parametrize(
    ("given", "builds"),
    [
        ({}, True),
        ({"requirements_build": False}, False),
        ({"plugin_uids": "60100-60199"}, False),
        ({"plugin_user": "iocplugin"}, False),
        ({"plugin_uids": "60100-60199", "requirements_build": True}, True),
    ],
)
def test_who_builds(tmp_path: Path, given: dict[str, object], builds: bool):
    """A server that runs as root and gives its plugins other users builds nothing, unless it is told to."""
    assert Settings(plugins_dir=tmp_path, **given).requirements_build is builds
