"""The access security rules of a site, checked before any IOC gets them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from iocmng.core.pv_access import GROUPS, OUTPUT_GROUP, access_rules, needs_lookup
from iocmng.errors import InvalidRequest
from iocmng.settings import Settings

CHECK_TIMEOUT = 60.0
"""Seconds that EPICS may take to read the rules; names of hosts are resolved meanwhile."""

MAX_FILE_BYTES = 1_048_576

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_UNRESOLVED = re.compile(r"Unable to resolve host '([^']*)'")
_GROUP = re.compile(r"ASG\((?P<name>[^)]*)\)")
_WRITE_RULE = re.compile(r"\s+RULE\(\d+,WRITE\b")


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The text of an access security file, and what is doubtful about it.

    Attributes:
        text: The file.
        warnings: A sentence for each doubt.
    """

    text: str
    warnings: tuple[str, ...] = ()


def read_access(settings: Settings) -> AccessRules:
    """Return the rules that every IOC of this site is to load.

    Raises:
        InvalidRequest: If the site's file cannot be read, EPICS does not take it, or it leaves outputs open.
    """
    file = settings.access_file
    if file is not None:
        text = _read(file)
        return AccessRules(text, _check(text, str(file)))
    text = access_rules(settings.access_hosts, settings.access_users)
    if any(map(needs_lookup, settings.access_hosts)):
        return AccessRules(text, _check(text, "IOCMNG_ACCESS_HOSTS"))
    return AccessRules(text)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as content:
            data = content.read(MAX_FILE_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise InvalidRequest(f"IOCMNG_ACCESS_FILE: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"IOCMNG_ACCESS_FILE: {file} is no text in UTF-8") from error
    if len(data) > MAX_FILE_BYTES or "\0" in text:
        raise InvalidRequest(f"IOCMNG_ACCESS_FILE: {file} is no access security file: too large, or not text")
    return text


def _check(text: str, source: str) -> tuple[str, ...]:
    """Let EPICS read the rules, and look at what it has understood; return warnings."""
    taken, messages, understood = _ask_epics(text, source)
    unresolved = [match[1] for line in messages if (match := _UNRESOLVED.search(line))]
    complaints = [line for line in messages if not _UNRESOLVED.search(line)]
    if not taken or complaints:
        raise InvalidRequest(f"{source} is no access security file that EPICS takes: {'; '.join(complaints)[:500]}")
    groups = _groups(understood)
    missing = [group for group in GROUPS if group not in groups]
    if missing:
        raise InvalidRequest(
            f"{source} has no {' and no '.join(f'ASG({group})' for group in missing)}; the records of plugins are in "
            f"{', '.join(GROUPS)}, and EPICS would give those without a group the rules of DEFAULT: add "
            f"{'it' if len(missing) == 1 else 'them'}"
        )
    if groups[OUTPUT_GROUP]:
        raise InvalidRequest(
            f"{source} lets clients write outputs, which only a plugin writes: take the WRITE rule out of "
            f"ASG({OUTPUT_GROUP})"
        )
    return tuple(
        f"{source}: the host name {name} cannot be resolved, so nobody may write from there; correct it, or give its "
        "IPv4 address"
        for name in dict.fromkeys(unresolved)
    )


def _ask_epics(text: str, source: str) -> tuple[bool, list[str], str]:
    """Return whether EPICS takes the rules, its messages, and what it has understood."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".acf") as file:
        file.write(text)
        file.flush()
        # -P: a module in the working directory must not stand in the place of Python's own.
        command = [sys.executable, "-P", "-m", "iocmng.epics.access_check", file.name]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=CHECK_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InvalidRequest(
                f"{source} could not be checked within {CHECK_TIMEOUT:g} s; give IPv4 addresses where the names of "
                "hosts cannot be resolved"
            ) from None
        lines = (_COLOUR.sub("", line).strip() for line in done.stderr.decode(errors="replace").splitlines())
        messages = [line.replace(file.name, source) for line in lines if line]
    return done.returncode == 0, messages, done.stdout.decode(errors="replace")


def _groups(understood: str) -> dict[str, bool]:
    """Return the groups, each with whether a rule of it gives the right to write."""
    groups: dict[str, bool] = {}
    name = ""
    for line in understood.splitlines():
        if match := _GROUP.match(line):
            name = match["name"]
            groups[name] = False
        elif name and _WRITE_RULE.match(line):
            groups[name] = True
    return groups
