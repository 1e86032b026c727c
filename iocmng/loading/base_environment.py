"""The packages that the server brings along: every plugin shares them, none may replace them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

OWN_NAME = "iocmng"


@dataclass(frozen=True, slots=True)
class BaseEnvironment:
    """Versions of the packages that run the server, by canonical name.

    Attributes:
        indexed: Packages that an index has; a plugin gets these versions.
        provided: iocmng itself and packages installed from a directory or file; no index is asked for them.
    """

    indexed: dict[str, str]
    provided: dict[str, str]

    def constraints(self) -> str:
        """Return a constraints file that holds every package at the server's version."""
        return "".join(f"{name}=={version}\n" for name, version in sorted(self.indexed.items()))

    def overrides(self) -> str:
        """Return an overrides file that keeps the provided packages from being looked for anywhere."""
        return "".join(f'{name} ; python_version < "0"\n' for name in sorted(self.provided))

    def version(self, name: str) -> str | None:
        """Return the version of a package of the server."""
        canonical = canonicalize_name(name)
        return self.provided.get(canonical) or self.indexed.get(canonical)

    def satisfies(self, requirement: Requirement) -> bool:
        """Tell whether the server already has what is required."""
        if requirement.marker and not requirement.marker.evaluate():
            return True
        version = self.version(requirement.name)
        return version is not None and not requirement.url and not requirement.extras and fits(requirement, version)


def running_environment() -> BaseEnvironment:
    """Return the packages of this Python environment."""
    indexed: dict[str, str] = {}
    provided: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = canonicalize_name(distribution.name)
        if name in indexed or name in provided:
            continue  # the first on the path is the one that is imported
        is_local = name == OWN_NAME or distribution.read_text("direct_url.json") is not None
        (provided if is_local else indexed)[name] = distribution.version
    return BaseEnvironment(indexed, provided)


def parse_requirement(text: str) -> Requirement | None:
    """Return a line of a requirements file as a requirement; None for options, paths and bare URLs."""
    try:
        return Requirement(text.partition(" --")[0])
    except InvalidRequirement:
        return None


def fits(requirement: Requirement, version: str) -> bool:
    """Tell whether a version is what a requirement asks for; a development version counts as its release."""
    try:
        release = Version(version).base_version
    except InvalidVersion:
        return False
    return any(requirement.specifier.contains(text, prereleases=True) for text in (version, release))


def remove_duplicates(target: Path, base: BaseEnvironment) -> None:
    """Remove from installed requirements what the server has in the same version, so that there is one of each."""
    for distribution in list(importlib.metadata.distributions(path=[str(target)])):
        if base.version(distribution.name) == distribution.version:
            _remove(distribution, target.resolve())


def _remove(distribution: importlib.metadata.Distribution, target: Path) -> None:
    for file in distribution.files or ():
        path = Path(str(file.locate())).resolve()
        if not path.is_relative_to(target):
            continue
        path.unlink(missing_ok=True)
        if path.suffix == ".py":
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        for parent in (path.parent / "__pycache__", *path.parents):
            if parent == target:
                break
            with contextlib.suppress(OSError):
                parent.rmdir()  # succeeds only where nothing is left in it
