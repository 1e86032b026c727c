#!/usr/bin/env python3
"""Compares requirements.lock with what is known of vulnerabilities: `make audit`.

A finding ends with status 1, unless `.ci/audit.toml` has an exception for it, with a reason and a last day. Where the
service that knows them cannot be reached, or does not know the packages, a line with NOT AUDITED says so and the status
is 0: a machine without a network can still build.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "Max retries exceeded", "Could not connect")
"""Words in pip-audit's messages when it did not get an answer, or none that it could use."""

TIMEOUT = 300


@dataclass(frozen=True)
class Exemption:
    """A vulnerability that is known and borne."""

    id: str
    reason: str
    until: datetime.date


@dataclass
class Judgement:
    """What is to be told, and whether it fails."""

    lines: list[str] = field(default_factory=list)
    failed: bool = False

    def fail(self, line: str) -> None:
        """Add a line that tells of a failure."""
        self.lines.append(line)
        self.failed = True


def read_exemptions(file: Path) -> list[Exemption]:
    """Return the exceptions of a file; ValueError tells what is wrong with one."""
    if not file.exists():
        return []
    found = []
    for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("exception", []):
        if set(entry) != {"id", "reason", "until"} or not str(entry["reason"]).strip():
            raise ValueError(f"{file.name}: an exception has id, reason and until, and nothing else: {entry}")
        if type(entry["until"]) is not datetime.date:
            raise ValueError(f"{file.name}: until of {entry['id']} must be a day, such as 2030-01-31, without quotes")
        found.append(Exemption(entry["id"], entry["reason"], entry["until"]))
    return found


def ended(exemptions: Sequence[Exemption], today: datetime.date) -> list[str]:
    """Return a line for each exception whose last day is over; it fails, needed or not."""
    return [f"the exception for {one.id} ended on {one.until}: {one.reason}" for one in exemptions if one.until < today]


def judge(report: dict[str, Any], exemptions: Sequence[Exemption], today: datetime.date) -> Judgement:
    """Return what a report of pip-audit comes to."""
    judgement, used = Judgement(), set()
    packages = report["dependencies"]
    skipped = sorted(package["name"] for package in packages if "skip_reason" in package)
    for package in packages:
        for finding in package.get("vulns", []):
            names = {finding["id"], *finding.get("aliases", [])}
            match = next((one for one in exemptions if one.id in names and one.until >= today), None)
            if match is not None:
                used.add(match.id)
                continue
            versions = ", ".join(finding.get("fix_versions", [])) or "no version yet"
            judgement.fail(f"{package['name']} {package['version']}: {finding['id']}, mended in {versions}")
    if skipped and len(skipped) == len(packages):
        judgement.lines.append(f"NOT AUDITED: the service knows none of the {len(packages)} packages of the lock file")
        return judgement
    if skipped:
        judgement.lines.append(f"NOT AUDITED: {', '.join(skipped)}")
    judgement.lines += [f"the exception for {one.id} is not needed" for one in exemptions if one.id not in used]
    judgement.lines.append(f"{len(packages) - len(skipped)} packages were audited")
    return judgement


def run_pip_audit(program: str, lock: Path) -> dict[str, Any] | str:
    """Return pip-audit's report, or why there is none; RuntimeError if pip-audit itself fails."""
    command = [program, "--requirement", str(lock), "--require-hashes", "--disable-pip", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT} s"
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = None
    if isinstance(report, dict) and "dependencies" in report:
        return report
    last = done.stderr.strip().rpartition("\n")[2]
    if any(word in done.stderr for word in UNREACHABLE):
        return f"the service cannot be reached: {last}"
    raise RuntimeError(f"{program} ended with status {done.returncode} and without a report: {last}")


def main() -> int:
    """Audit the lock file; return the exit status."""
    parser = argparse.ArgumentParser(description="Audit requirements.lock.")
    parser.add_argument("--pip-audit", default="pip-audit", help="the program")
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("--exceptions", type=Path, default=ROOT / ".ci" / "audit.toml")
    parser.add_argument("--today", type=datetime.date.fromisoformat, default=datetime.datetime.now(datetime.UTC).date())
    options = parser.parse_args()
    try:
        exemptions = read_exemptions(options.exceptions)
        report = run_pip_audit(options.pip_audit, options.lock)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    judgement = Judgement([f"NOT AUDITED: {report}"])
    if not isinstance(report, str):
        judgement = judge(report, exemptions, options.today)
    for line in ended(exemptions, options.today):
        judgement.fail(line)
    print("\n".join(f"{options.lock.name}: {line}" for line in judgement.lines))
    return 1 if judgement.failed else 0


if __name__ == "__main__":
    sys.exit(main())
