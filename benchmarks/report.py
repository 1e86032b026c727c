"""Figures, as JSON for machines and as a table for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: The figure.
        unit: Its unit.
        aim: What we wish it to be, in words; nothing fails where it is missed.
    """

    name: str
    value: float
    unit: str
    aim: str = ""


@dataclass(slots=True)
class Result:
    """What one benchmark found.

    Attributes:
        figures: The lines of the table.
        details: Everything else, for the JSON document.
    """

    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str, aim: str = "") -> None:
        """Add a figure."""
        self.figures.append(Figure(name, value, unit, aim))

    def document(self, load: Mapping[str, float]) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"load": dict(load), "figures": [asdict(item) for item in self.figures], "details": self.details}


def table(document: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield the lines of a table of the whole document.

    Args:
        document: What a run wrote.
        before: An earlier run's document; each figure is then shown with its ratio to the earlier one.
    """
    machine = document["machine"]
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}, "
        f"Ray {machine['versions']['ray']}, softioc {machine['versions']['softioc']}, "
        f"iocmng {machine['iocmng']}, load {machine['load_average_at_start'][0]:.2f}, "
        f"fixed loop {machine['calibration_ms']} ms"
    )
    earlier = _figures(before) if before else {}
    for name, benchmark in document["benchmarks"].items():
        yield ""
        yield f"{name} ({_load_words(benchmark['load'])})"
        if "error" in benchmark:
            yield f"  FAILED: {benchmark['error']}"
            continue
        for item in benchmark["figures"]:
            was = earlier.get((name, item["name"]))
            ratio = f"   x {item['value'] / was:.2f}" if was else ""
            aim = f"   aim {item['aim']}" if item["aim"] else ""
            yield f"  {item['name']:<58} {_number(item['value']):>10} {item['unit']:<10}{ratio}{aim}".rstrip()


def _load_words(load: Mapping[str, float]) -> str:
    return (
        f"{load['seconds']:.0f} s; others took {load['others_cpu_percent']:.0f} % of a core, "
        f"the host {load['stolen_cpu_percent']:.0f} %"
    )


def _figures(document: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (name, item["name"]): item["value"]
        for name, benchmark in document["benchmarks"].items()
        for item in benchmark.get("figures", ())
    }


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
