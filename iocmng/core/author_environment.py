"""Which variables of the environment author's code may see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "TERM", "COLUMNS", "LINES", "DISPLAY", "TMPDIR"}
    | {"LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "CONDA_PREFIX"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CUDA_VISIBLE_DEVICES"}
)
_BEGINNINGS = ("LC_", "EPICS_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "HDF5_", "OPHYD_", "MALLOC_", "MPL")
_NEVER = frozenset({"PYTHONBREAKPOINT"})
"""Ray sets it: a breakpoint() that was forgotten would open a port to whoever connects."""

_OF_THE_SERVER = ("IOCMNG_", "RAY_")
_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?")


def belongs_to_server(name: str) -> bool:
    """Tell whether a variable is the server's own business: tokens, addresses, settings."""
    return name.startswith(_OF_THE_SERVER)


def may_be_seen(name: str, further: Iterable[str] = ()) -> bool:
    """Tell whether author's code may see a variable.

    Args:
        name: Name of the variable.
        further: Names that the site adds; one that ends with `*` stands for all that begin so.
    """
    if belongs_to_server(name) or name in _NEVER:
        return False
    if name in _NAMES or name.startswith(_BEGINNINGS):
        return True
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in further)


def author_environment(environment: Mapping[str, str], further: Iterable[str] = ()) -> dict[str, str]:
    """Return the part of an environment that author's code may see."""
    names = tuple(further)
    return {name: value for name, value in environment.items() if may_be_seen(name, names)}


def check_further(name: str) -> str:
    """Return a name that a site adds to those that author's code may see.

    Raises:
        ValueError: If it is none, or the server's own.
    """
    if not _PATTERN.fullmatch(name):
        raise ValueError(f"{name!r:.80} is no name of a variable; write NAME, or NAME* for all that begin so")
    if belongs_to_server(name):
        raise ValueError(f"{name} is the server's own; a plugin gets what it needs by its parameters")
    return name
