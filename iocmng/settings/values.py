"""Types of settings: how a value is read, and which one fits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from iocmng.core.names import check_prefix
from iocmng.core.port_range import PortRange
from iocmng.core.pv_access import check_host
from iocmng.core.setting_values import check_key_url, split_list

CONTAINER_PLUGINS_DIR = Path("/data/plugins")


class Group(BaseSettings):
    """Settings that belong together."""

    model_config = SettingsConfigDict(
        env_prefix="IOCMNG_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # the token
    )


def default_plugins_dir() -> Path:
    """Return /data/plugins where it can be written, else a directory of the user."""
    if CONTAINER_PLUGINS_DIR.is_dir() and os.access(CONTAINER_PLUGINS_DIR, os.W_OK):
        return CONTAINER_PLUGINS_DIR
    return Path("~/.local/share/iocmng/plugins").expanduser()


def is_loopback(host: str | None) -> bool:
    """Tell whether only this machine can reach what listens there."""
    return host in ("127.0.0.1", "localhost", "::1")


def site_path(path: Path) -> Path:
    """Return a path that means the same place in all processes.

    Raises:
        ValueError: If it begins with the home of a user whom this machine does not know.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{path.parts[0]} is the home of no user of this machine") from None


def split_paths(value: Any) -> Any:
    """Return the paths of a text in which ':' stands between them; what is no text stays."""
    return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value


def lower(value: Any) -> Any:
    """Return a text in lower case; what is no text stays."""
    return value.lower() if isinstance(value, str) else value


def legal_prefix(value: str | None) -> str | None:
    """Return a PREFIX of PVs; an empty one counts as none."""
    return check_prefix(value) if value else None


def key_url(value: str | None) -> str | None:
    """Return a URL of whose answers keys are taken; an empty one counts as none."""
    return check_key_url(value) if value else None


def legal_host(value: str | None) -> str | None:
    """Return the name or IPv4 address of a host."""
    return value if value is None else check_host(value)


def legal_ports(value: str | None) -> str | None:
    """Return a range of ports in its plain form."""
    return value if value is None else str(PortRange.of(value))


def no_service_link(value: Any) -> Any:
    """Return a port as it was given.

    Raises:
        ValueError: If it is no port but what Kubernetes tells of a Service.
    """
    if isinstance(value, str) and value.startswith(("tcp://", "udp://")):
        raise ValueError(
            f"{value[:200]!r} is what Kubernetes tells pods of a Service named iocmng; set `enableServiceLinks: false` "
            "in the pod's spec"
        )
    return value


_T = TypeVar("_T")

Seconds = Annotated[float, Field(gt=0)]
SitePath = Annotated[Path, AfterValidator(site_path)]
Words = Annotated[tuple[_T, ...], BeforeValidator(split_list)]
"""A list that a text may hold, separated by commas or blanks. A field of it needs NoDecode, or it is read as JSON."""
