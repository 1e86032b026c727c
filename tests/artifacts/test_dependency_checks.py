"""`make audit`, `make secrets` and `make sbom`: what fails, what passes, and what says that it did not look."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docs_blocks import ROOT
from support import make_repository

TOOLS = ROOT / ".venv" / "audit" / "bin"

FINDING = {"id": "PYSEC-2030-1", "aliases": ["CVE-2030-1234"], "fix_versions": ["1.1"], "description": "bad"}

EXCEPTION = '[[exception]]\nid = "{id}"\nreason = "not used here"\nuntil = {until}\n'


def package(name: str = "one", **more: Any) -> dict[str, Any]:
    """Return a package of a report of pip-audit."""
    return {"name": name, "version": "1.0", "vulns": []} | more


@pytest.fixture
def audit(tmp_path: Path):
    """Return a function that audits with a pip-audit that answers as it is told."""

    def run(*packages: dict[str, Any], exceptions: str = "", says: str = "", today: str = "2030-06-15"):
        answer = json.dumps({"dependencies": packages, "fixes": []}) if packages else ""
        program = tmp_path / "pip-audit"
        program.write_text(f"#!{sys.executable}\nimport sys\nprint({answer!r})\nsys.exit({says!r} or 0)\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "audit.toml").write_text(exceptions)
        command = [sys.executable, ROOT / ".ci/audit.py", "--pip-audit", program, "--today", today]
        command += ["--exceptions", tmp_path / "audit.toml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return run


def test_nothing_found(audit):
    """Status 0, and how many packages were looked at."""
    assert audit(package(), package("two")) == (0, "requirements.lock: 2 packages were audited\n")


def test_a_finding_fails(audit):
    """Status 1, with the package, the finding, and the version that mends it."""
    status, told = audit(package(), package("two", vulns=[FINDING]))
    assert status == 1
    assert "two 1.0: PYSEC-2030-1, mended in 1.1" in told


@pytest.mark.parametrize("name", ["PYSEC-2030-1", "CVE-2030-1234"])
def test_an_exception_lets_it_pass_until_its_last_day(audit, name):
    """By any of the finding's names; on the day after it fails, and says why it was there."""
    exception = EXCEPTION.format(id=name, until="2030-06-15")
    assert audit(package(vulns=[FINDING]), exceptions=exception)[0] == 0
    status, told = audit(package(vulns=[FINDING]), exceptions=exception, today="2030-06-16")
    assert status == 1
    assert f"the exception for {name} ended on 2030-06-15: not used here" in told
    assert "one 1.0: PYSEC-2030-1" in told


def test_an_exception_that_has_ended_fails_without_a_finding(audit):
    """Nobody forgets one, whether the service answers or not."""
    exception = EXCEPTION.format(id="CVE-2029-1", until="2030-06-14")
    assert audit(package(), exceptions=exception)[0] == 1
    assert audit(exceptions=exception, says="requests.exceptions.ConnectionError: no way")[0] == 1


def test_an_exception_for_something_else_does_not_help(audit):
    """It is told that it is not needed."""
    status, told = audit(package(vulns=[FINDING]), exceptions=EXCEPTION.format(id="CVE-1", until="2031-01-01"))
    assert status == 1
    assert "the exception for CVE-1 is not needed" in told


@pytest.mark.parametrize(
    "exception",
    [
        '[[exception]]\nid = "CVE-1"\nuntil = 2031-01-01\n',
        '[[exception]]\nid = "CVE-1"\nreason = " "\nuntil = 2031-01-01\n',
        '[[exception]]\nid = "CVE-1"\nreason = "x"\nuntil = "2031-01-01"\n',
        "[[exception]\n",
    ],
)
def test_an_exception_that_is_not_whole_is_refused(audit, exception):
    """Status 2 and a sentence; there is none without a reason and a day."""
    status, told = audit(package(), exceptions=exception)
    assert status == 2
    assert "Traceback" not in told


def test_a_service_out_of_reach_is_told_and_passes(audit):
    """A machine without a network can build, and sees that it was not audited."""
    status, told = audit(says="urllib3.exceptions.MaxRetryError: Max retries exceeded with url: /pypi/one/json")
    assert status == 0
    assert told.startswith("requirements.lock: NOT AUDITED: the service cannot be reached")


def test_a_service_that_knows_nothing_does_not_count_as_an_audit(audit):
    """pip-audit then says `No known vulnerabilities found`; here it is NOT AUDITED, as are single packages."""
    unknown = {"skip_reason": "Dependency not found on PyPI and could not be audited"}
    status, told = audit({"name": "one"} | unknown, {"name": "two"} | unknown)
    assert (status, told.count("NOT AUDITED")) == (0, 1)
    assert "were audited" not in told
    status, told = audit({"name": "one"} | unknown, package("two"))
    assert status == 0
    assert "NOT AUDITED: one\n" in told
    assert "1 packages were audited" in told


def test_a_pip_audit_that_fails_is_no_pass(audit):
    """Status 2 where there is no report for a reason that is not the network's."""
    status, told = audit(says="usage: pip-audit [-h]")
    assert status == 2
    assert "without a report" in told


def test_the_exceptions_of_the_project_are_whole():
    """.ci/audit.toml can be read."""
    sys.path.insert(0, str(ROOT / ".ci"))
    try:
        from audit import read_exemptions
    finally:
        sys.path.remove(str(ROOT / ".ci"))
    assert isinstance(read_exemptions(ROOT / ".ci" / "audit.toml"), list)


def test_the_gate_runs_all_three():
    """.ci/run calls them before the tests."""
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    places = [lines.index(f"make {target}") for target in ("audit", "secrets", "sbom", "test")]
    assert places == sorted(places)


def test_every_known_hit_was_looked_at():
    """Each entry of .secrets.baseline is marked as no secret, and its file still exists."""
    known = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))["results"]
    assert all(hit["is_secret"] is False for hits in known.values() for hit in hits)
    assert [name for name in known if not (ROOT / name).is_file()] == []


@pytest.mark.skipif(not (TOOLS / "detect-secrets-hook").exists(), reason="`make secrets` has not been run here")
def test_a_new_secret_fails(tmp_path):
    """A key in a file of the tree ends with a status that is not 0; without it the tree passes."""
    shutil.copy(ROOT / ".secrets.baseline", tmp_path / ".secrets.baseline")
    make_repository(tmp_path, {"settings.py": "HOST = 'localhost'\n"})
    command = [ROOT / ".ci/secrets", TOOLS, tmp_path]
    clean = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    key = "-" * 5 + "BEGIN RSA " + "PRIVATE KEY" + "-" * 5  # in parts, so that this file is not a hit itself
    (tmp_path / "key.txt").write_text(f"{key}\nabc\n")
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode != 0
    assert "key.txt" in found.stdout


@pytest.mark.skipif(not (TOOLS / "cyclonedx-py").exists(), reason="`make sbom` has not been run here")
def test_the_bill_of_materials_has_the_locked_versions(tmp_path):
    """cyclonedx-py makes a valid document with the name, version and hashes of each line of the lock file."""
    lock = tmp_path / "runtime.txt"
    pin = f"one==1.2.3 \\\n    --hash=sha256:{'0' * 64}\n"
    lock.write_text(pin)
    target = tmp_path / "sbom.json"
    command = [TOOLS / "cyclonedx-py", "requirements", "--of", "JSON", "--validate", "-o", target, lock]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    document = json.loads(target.read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert [(one["name"], one["version"]) for one in document["components"]] == [("one", "1.2.3")]
    assert "0" * 64 in target.read_text()
