"""What a plugin's process may take: amounts in config.yaml, and what the site allows."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from iocmng.core.pv_fields import StrictModel

MIB = 1024 * 1024

LEAST_MEMORY = 16 * MIB
MOST_MEMORY = 16 * 1024 * 1024 * MIB

LEAST_CPU = 0.05
"""Cores; with less, a plugin's process would take minutes to start, and its PVs would not answer in time."""

MOST_CPU = 1024.0

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS = _DECIMAL | {"Ki": 1024, "Mi": MIB, "Gi": 1024 * MIB, "Ti": 1024 * 1024 * MIB}
_CORES = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(m?)", re.ASCII)
_QUANTITY = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)(|k|M|G|T|Ki|Mi|Gi|Ti)", re.ASCII)


def read_quantity(value: Any) -> Any:
    """Return the bytes that a quantity such as 512Mi, 2G or 1048576 stands for.

    Raises:
        ValueError: If it is none, or beyond what makes sense.
    """
    if value is None:
        return None
    text = "" if isinstance(value, bool) or not isinstance(value, str | int) else str(value).strip()
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"must be an amount of bytes such as 512Mi, 2Gi or 500M, not {value!r:.80}")
    amount = int(float(match[1]) * _UNITS[match[2]]) if "." in match[1] else int(match[1]) * _UNITS[match[2]]
    if not LEAST_MEMORY <= amount <= MOST_MEMORY:
        raise ValueError(f"must be from {quantity(LEAST_MEMORY)} to {quantity(MOST_MEMORY)}, not {text:.80}")
    return amount


def read_cores(value: Any) -> Any:
    """Return the cores that 0.5, 2 or 500m stands for.

    Raises:
        ValueError: If it is none, or beyond what makes sense.
    """
    if value is None:
        return None
    text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value).strip()
    match = _CORES.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a number of CPU cores such as 0.5, 2 or 500m, not {value!r:.80}")
    cores = float(match[1]) / (1000 if match[2] else 1)
    if not LEAST_CPU <= cores <= MOST_CPU:
        raise ValueError(f"must be from {LEAST_CPU:g} to {MOST_CPU:g}, not {text:.80}")
    return cores


def quantity(amount: int) -> str:
    """Return bytes as somebody would write them."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if amount % _UNITS[unit] == 0:
            return f"{amount // _UNITS[unit]}{unit}"
    return str(amount)


Bytes = Annotated[int, BeforeValidator(read_quantity, json_schema_input_type=int | str)]
"""An amount of memory, as Kubernetes writes it."""

Cores = Annotated[float, BeforeValidator(read_cores, json_schema_input_type=float | str)]
"""CPU time, in cores, as Kubernetes writes it."""

OpenFiles = Annotated[int, Field(ge=16, le=1_000_000)]
Processes = Annotated[int, Field(ge=1, le=100_000)]


class Limits(StrictModel):
    """What each process of a plugin may take, beside what iocmng itself needs in it; unset: what the site allows."""

    memory: Bytes | None = None
    """Memory, such as `512Mi`, `2Gi` or `500M`; beyond it, Python raises MemoryError."""
    open_files: OpenFiles | None = None
    """Open files and connections; beyond them, Python raises OSError."""
    processes: Processes | None = None
    """Processes that the plugin's code may have started and that still run; one more raises OSError."""
    cpu: Cores | None = None
    """CPU time, in cores such as `0.5` or `500m`, of the process and all that it starts; beyond it, they have to wait.
    Kept where the machine lets the server have control groups."""

    def within(self, site: Limits) -> Limits:
        """Return these limits, and those of the site where there are none."""
        return Limits.model_construct(
            memory=site.memory if self.memory is None else self.memory,
            open_files=site.open_files if self.open_files is None else self.open_files,
            processes=site.processes if self.processes is None else self.processes,
            cpu=site.cpu if self.cpu is None else self.cpu,
        )

    def problems(self, site: Limits) -> list[str]:
        """Return a sentence for each limit that is higher than what the site allows."""
        return [
            f"limits.{name}: {_shown(name, wanted)} is more than this server allows a plugin; ask for "
            f"{_shown(name, allowed)} or less, or have IOCMNG_PLUGIN_{name.upper()} raised"
            for name in Limits.model_fields
            if (wanted := getattr(self, name)) is not None
            and (allowed := getattr(site, name)) is not None
            and wanted > allowed
        ]


def _shown(name: str, amount: float) -> str:
    return quantity(int(amount)) if name == "memory" else f"{amount:.9g}"
