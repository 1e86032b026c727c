"""The checks that run a plugin's code, in a process that only they have.

It reads a CheckRequest from stdin and writes a CheckedPlugin to the file that is named there, both as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from iocmng.base.facts import plugin_facts
from iocmng.base.identity import identify
from iocmng.core.limits import Limits
from iocmng.core.names import plugin_pv_prefix
from iocmng.core.spec import PluginFacts
from iocmng.core.validation import STEPS, steps_before
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.checks import read_manifest
from iocmng.loading.confinement import apply_limits
from iocmng.loading.importer import load_class


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What is to be checked.

    Attributes:
        directory: Where the plugin's files lie.
        packages: Where its requirements are installed.
        name: Name of the plugin.
        site_prefix: PREFIX of all PVs.
        parameters: Laid over those of config.yaml.
        commit: Commit of its files, if it is known.
        answer: File for the answer.
        trace: File for Python's words on a fatal signal.
        limits: What this process may take.
    """

    directory: str
    packages: str | None
    name: str
    site_prefix: str
    parameters: dict[str, Any]
    commit: str | None
    answer: str
    trace: str
    limits: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class CheckedPlugin:
    """What the checks have found; see core.validation.ValidationReport."""

    passed: frozenset[str]
    failures: tuple[CheckFailure, ...] = ()
    facts: PluginFacts | None = None

    def to_json(self) -> str:
        """Return it as text."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> CheckedPlugin:
        """Return what to_json() has written."""
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(CheckedPlugin)


def check(request: CheckRequest) -> CheckedPlugin:
    """Import the plugin and make the checks of its class, its parameters and the names of its PVs."""
    manifest = read_manifest(Path(request.directory))
    apply_limits(Limits.model_validate(request.limits))
    try:
        cls = load_class(request.directory, request.packages, manifest)
    except PluginRejected as error:
        step = error.failures[0].step
        # `type` of config.yaml is compared with the class once that is found.
        return CheckedPlugin(steps_before("abstract methods" if step == "config" else step), error.failures)
    try:
        prefix = plugin_pv_prefix(request.site_prefix, request.name, manifest.prefix)
        identity = identify(request.name, prefix, cls, manifest, request.parameters, request.commit)
        facts = plugin_facts(cls, identity, manifest, request.commit, None)
    except PluginRejected as error:
        return CheckedPlugin(frozenset(STEPS), error.failures)
    return CheckedPlugin(frozenset(STEPS), facts=facts)


def main() -> None:
    """Check what stdin asks for; end at once, whatever threads the author's code has begun."""
    request = CheckRequest(**json.load(sys.stdin))
    with open(request.trace, "w", encoding="utf-8") as trace:  # noqa: PTH123
        faulthandler.enable(trace, all_threads=False)
        Path(request.answer).write_text(check(request).to_json(), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
