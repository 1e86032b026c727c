"""iocmng new: a repository with a plugin, made whole or not at all."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iocmng.cli.new import class_name, module_name

pytestmark = pytest.mark.thorough

KINDS = ("task", "triggered", "declarative", "job")


def iocmng(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "iocmng", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_repository_with_one_commit(tmp_path: Path, kind: str):
    """On the branch main, with everything committed, under the names that follow from the directory's."""
    done = iocmng("new", "lab/water-pump", "--kind", kind, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "named water-pump; its README.md says how to try it" in done.stderr
    made = tmp_path / "lab" / "water-pump"
    assert git(made, "branch", "--show-current") == "main"
    assert git(made, "status", "--short", "--ignored") == ""
    assert len(git(made, "log", "--format=%s").splitlines()) == 1
    assert git(made, "ls-files").splitlines() == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "config.schema.json",
        "config.yaml",
        "pyproject.toml",
        "requirements.txt",
        "tests/test_water_pump.py",
        "water_pump.py",
    ]
    assert "class WaterPump(" in (made / "water_pump.py").read_text()
    assert (made / "config.yaml").read_text().startswith("# yaml-language-server: $schema=config.schema.json\n")
    assert list((tmp_path / "lab").iterdir()) == [made]


def test_nothing_of_the_template_shows(tmp_path: Path):
    """No unfilled place, no path of this machine, no blank line too many."""
    for kind in KINDS:
        iocmng("new", kind, "--kind", kind, "--name", "pump", cwd=tmp_path)
        for file in git(tmp_path / kind, "ls-files").splitlines():
            text = (tmp_path / kind / file).read_text()
            assert not [word for word in ("{{", "{%", "jinja", str(tmp_path), sys.prefix) if word in text], file
            assert text.endswith("\n"), file
            assert not text.endswith("\n\n"), file


@pytest.mark.parametrize("kind", KINDS)
def test_its_python_is_in_order(tmp_path: Path, kind: str):
    """Formatted and without findings, so that an author's own linters begin with nothing to say."""
    iocmng("new", "pump", "--kind", kind, cwd=tmp_path)
    for command in (["check", "--select", "E,F,I,W,UP,B,SIM,PT,RET"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "--line-length", "120", "."],
            cwd=tmp_path / "pump",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_an_empty_directory_is_taken(tmp_path: Path):
    """It may be there already, as long as nothing is in it; a shell that is in it stays in it."""
    (tmp_path / "pump").mkdir()
    before = (tmp_path / "pump").stat().st_ino
    assert iocmng("new", ".", "--kind", "task", cwd=tmp_path / "pump").returncode == 0
    assert (tmp_path / "pump" / "pump.py").is_file()
    assert (tmp_path / "pump").stat().st_ino == before
    assert git(tmp_path / "pump", "status", "--short") == ""


@pytest.mark.parametrize(
    ("prepare", "arguments", "words"),
    [
        (lambda root: (root / "pump").mkdir() or (root / "pump" / "notes").touch(), ["pump"], "is there already and"),
        (lambda root: (root / "pump").touch(), ["pump"], "is there already and"),
        (lambda root: (root / "pump").symlink_to("elsewhere"), ["pump"], "is there already and"),
        (lambda root: None, ["water pump"], "plugin name 'water pump' is not allowed"),
        (lambda root: None, ["pump", "--name", "a:b"], "plugin name 'a:b' is not allowed"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_in_one_sentence(tmp_path: Path, prepare, arguments, words: str):
    """With exit status 2, and nothing is changed."""
    prepare(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = iocmng("new", *arguments, "--kind", "task", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("iocmng: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_kind_must_be_one_of_four(tmp_path: Path):
    """Without it, or with another one, they are named; it never asks."""
    done = iocmng("new", "pump", cwd=tmp_path)
    assert (done.returncode, "--kind" in done.stderr) == (2, True)
    done = iocmng("new", "pump", "--kind", "robot", cwd=tmp_path)
    assert (done.returncode, all(kind in done.stderr for kind in KINDS)) == (2, True)


def test_it_needs_no_name_and_no_hooks_of_git(tmp_path: Path):
    """A user without a name in git's settings, or one whose settings sign and check commits, gets a commit."""
    settings = tmp_path / "gitconfig"
    hook = tmp_path / "hooks" / "pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    settings.write_text(f"[commit]\ngpgSign = true\n[core]\nhooksPath = {hook.parent}\nexcludesFile = {tmp_path}/all\n")
    (tmp_path / "all").write_text("*\n")
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_DIR": str(tmp_path / "other"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "iocmng", "new", "pump", "--kind", "job"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pump.py" in git(tmp_path / "pump", "ls-files")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("missing", "words"), [("copier", "needs Copier: pip install 'iocmng[author]'"), ("git", "needs git, which is not")]
)
def test_what_is_missing_is_told_in_one_sentence(tmp_path: Path, missing: str, words: str):
    """With exit status 1, and nothing is left behind."""
    code = (
        "import sys\n"
        + ("sys.modules['copier'] = None\n" if missing == "copier" else "")
        + "sys.argv = ['iocmng', 'new', 'pump', '--kind', 'task']\nfrom iocmng.cli.main import main\nmain()\n"
    )
    path = {"PATH": str(tmp_path)} if missing == "git" else {}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module", "cls"),
    [
        ("pump", "pump", "Pump"),
        ("water-pump_2", "water_pump_2", "WaterPump2"),
        ("BPM", "bpm", "BPM"),
        ("2nd-pump", "plugin_2nd_pump", "Plugin2ndPump"),
        ("json", "json_plugin", "Json"),
        ("iocmng", "iocmng_plugin", "Iocmng"),
        ("pytest", "pytest_plugin", "Pytest"),
        ("class", "class_plugin", "Class"),
        ("none", "none", "NonePlugin"),
        ("test-beam", "test_beam_plugin", "TestBeam"),
        ("beam-test", "beam_test_plugin", "BeamTest"),
        ("setup", "setup_plugin", "Setup"),
        ("task-base", "task_base", "TaskBasePlugin"),
        ("a--", "a__", "A"),
    ],
)
def test_module_and_class_can_be_imported(name: str, module: str, cls: str):
    """Whatever the plugin is called, its module hides no other, is no test, and its class hides nothing it needs."""
    assert (module_name(name), class_name(name)) == (module, cls)
    ast.parse(f"from {module} import {cls}")
