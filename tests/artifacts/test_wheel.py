"""The wheel: what an author gets who installs iocmng."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from docs_blocks import ROOT
from pythons import install, supported, uv
from serve_support import JOB
from support import Server, caget

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made without the network."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = directory.glob("*.whl")
    return file


def test_it_has_the_whole_template_and_the_pytest_plugin(wheel: Path):
    """Every file of plugins_template, as a file; the fixtures' module beside the package, with its entry point."""
    template = ROOT / "plugins_template"
    committed = subprocess.run(["git", "ls-files", "-z"], cwd=template, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in filter(None, committed.stdout.split("\0")):
            assert archive.read(f"iocmng/_template/{name}") == (template / name).read_bytes(), name
        assert archive.read("pytest_iocmng.py") == (ROOT / "pytest_iocmng.py").read_bytes()
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "[pytest11]\niocmng = pytest_iocmng\n" in archive.read(entry_points).decode()
        assert not [name for name in archive.namelist() if "__pycache__" in name or name.startswith("tests/")]


def test_iocmng_new_works_from_it(wheel: Path, tmp_path: Path):
    """Without the clone: the template comes from the installed package, and the new plugin's checks pass."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    commands = (
        ["-P", "-m", "iocmng", "new", "pump", "--kind", "task"],
        ["-P", "-m", "iocmng", "validate", "pump"],
        ["-P", "-c", "import iocmng; print(iocmng.__file__)"],
    )
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == str(tmp_path / "installed" / "iocmng" / "__init__.py")
    assert (tmp_path / "pump" / "config.schema.json").read_text() == (
        ROOT / "docs/reference/config.schema.json"
    ).read_text()


WHERE = """\
import platform

import iocmng
from iocmng import TaskBase


class Where(TaskBase):
    def initialize(self):
        self.set_pv("FILE", iocmng.__file__[-39:])
        self.set_pv("PYTHON", platform.python_version())

    def execute(self):
        pass

    def cleanup(self):
        pass
"""


def do_the_main_job(server: Server, package: Path, version: str) -> None:
    """Add a task and a job from repositories, read PVs, run the job, let go of both; end the server."""
    try:
        config = "pvs: {outputs: {FILE: {type: string}, PYTHON: {type: string}}}\n"
        answer = server.add("where", {"where.py": WHERE, "config.yaml": config})
        assert answer.status_code == 201, answer.text
        assert caget("WHEEL:WHERE:FILE") == str(package / "__init__.py")[-39:]
        assert str(caget("WHEEL:WHERE:PYTHON")).startswith(f"{version}.")
        answer = server.add("twice", {"twice.py": JOB}, "jobs")
        assert answer.status_code == 201, answer.text
        answer = server.http.post("/jobs/twice/run", json={"parameters": {"x": 21}})
        assert (answer.status_code, answer.json()["result"]["data"]) == (200, 42)
        for name in ("where", "twice"):
            assert server.http.delete(f"/plugins/{name}").status_code == 200
        assert server.names() == set()
    finally:
        assert server.stop() == 0


def test_it_does_the_main_job(wheel: Path, tmp_path: Path):
    """A server of the wheel alone takes plugins from repositories, serves their PVs, and lets go of them."""
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    server = Server(tmp_path / "server", "WHEEL", PYTHONPATH=str(installed)).wait_until_ready()
    do_the_main_job(server, installed / "iocmng", f"{sys.version_info.major}.{sys.version_info.minor}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", supported())
def test_it_does_the_main_job_on_each_python(wheel: Path, tmp_path: Path, version: str):
    """Installed with the locked versions of what it needs, and with nothing else, on each Python that is promised."""
    python = install(wheel, version, tmp_path)
    locked = set(re.findall(r"^([\w.-]+==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = uv("pip", "freeze", "--python", python).split("\n")
    assert {line for line in installed if "==" in line} <= locked
    # A warning of our own code is an error of the next Python.
    server = Server(tmp_path / "server", "WHEEL", str(python), PYTHONWARNINGS="default").wait_until_ready()
    package = python.parents[1] / "lib" / f"python{version}" / "site-packages" / "iocmng"
    do_the_main_job(server, package, version)
    assert [line for line in server.log.read_text().splitlines() if f"{package}/" in line and "Deprecat" in line] == []
