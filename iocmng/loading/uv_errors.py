"""What uv says when an installation fails, as a few sentences that name the culprit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from iocmng.loading.base_environment import BaseEnvironment

MAX_CHARACTERS = 700
WHEELS_ONLY = (
    "this server takes wheels only, so that an installation runs no author's code as its user: require a release that "
    "has a wheel, or have IOCMNG_REQUIREMENTS_BUILD set"
)

MAX_READ = 20_000
"""Characters of uv's words that are looked at."""

_NOISE = re.compile(r"^(Using |Resolved |Prepared |Installed |Bytecode |Uninstalled |warning:|\s*\^)")
_DECORATION = re.compile(r"^[^\w`]*(error:|cause:|hint:)?\s*")
_CREDENTIAL = re.compile(r"://[^/@\s]+@")
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.+!-]*\w)")
_NO_WHEEL = re.compile(r"building (from source|source distributions) is disabled", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"failed to fetch|error sending request|connection refused|dns error|timed out", re.IGNORECASE
)


def condense(stderr: str, directories: Sequence[Path], base: BaseEnvironment) -> str:
    """Return uv's words on one line, with advice.

    Args:
        stderr: What uv wrote.
        directories: Places of this fetch, whose paths say nothing to the author.
        base: Packages that cannot be replaced.
    """
    lines = [
        _DECORATION.sub("", line) for line in stderr[:MAX_READ].splitlines() if line.strip() and not _NOISE.match(line)
    ]
    text = _CREDENTIAL.sub("://***@", " ".join(" ".join(lines).split()))
    for directory in directories:
        text = text.replace(f"{directory}/", "").replace(str(directory), ".")
    return f"{text[:MAX_CHARACTERS] or 'uv failed without a word'}; {_advice(text, base)}"


def _advice(text: str, base: BaseEnvironment) -> str:
    pinned = sorted({pin[0] for pin in _PIN.finditer(text) if base.version(pin["name"]) == pin["version"]})
    if pinned:
        return f"{', '.join(pinned)} belongs to this server and cannot be replaced by a plugin"
    if _NO_WHEEL.search(text):
        return WHEELS_ONLY
    if _UNREACHABLE.search(text):
        return "check that the server reaches the package index (UV_DEFAULT_INDEX, proxies)"
    return "correct requirements.txt"
