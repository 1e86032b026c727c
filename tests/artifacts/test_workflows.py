"""GitHub's workflows: they fit GitHub's schema, and call what a developer calls."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml
from docs_blocks import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / name).read_text())


@pytest.mark.parametrize("file", sorted(WORKFLOWS.iterdir()), ids=lambda file: file.name)
def test_it_fits_the_schema(file):
    """The schema is the one that check-jsonschema carries with it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_supported_python_is_tested():
    """The matrix has the versions of pyproject.toml, and the tests are those of .ci/run."""
    job = workflow("test.yml")["jobs"]["test"]
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    named = [line.rpartition(" ")[2] for line in classifiers if line.startswith("Programming Language :: Python :: 3.")]
    assert job["strategy"]["matrix"]["python"] == named
    assert job["steps"][-1]["run"] == "bash .ci/run"


def test_only_a_tag_publishes():
    """A run by hand builds and checks; PyPI and the registry are reached for a tag alone, and by one job each."""
    text = workflow("release.yml")
    assert text[True]["push"] == {"tags": ["v*"]}  # YAML 1.1 reads the key `on` as true
    jobs = text["jobs"]
    assert jobs["pypi"]["if"] == "github.event_name == 'push'"
    (pushing,) = [step for step in jobs["image"]["steps"] if "build-push-action" in step.get("uses", "")]
    assert pushing["with"]["push"] == "${{ github.event_name == 'push' }}"
    writers = {name for name, job in jobs.items() if "write" in job.get("permissions", {}).values()}
    assert writers == {"pypi", "image"}
