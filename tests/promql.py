"""Which series the expressions of monitoring/ ask for, and by which labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from iocmng.core.metrics import METRICS

MONITORING = Path(__file__).parents[1] / "monitoring"

OURS = {f"ray_{name}": frozenset(tags) for metric in METRICS for name, tags in metric.series}

FOREIGN = {
    "up": frozenset({"job", "instance"}),
    "ray_serve_num_http_requests_total": frozenset({"application", "method", "route", "status_code"}),
    "ray_serve_deployment_processing_latency_ms_bucket": frozenset({"application", "route", "le"}),
}
"""Series of Prometheus and of Ray Serve; tests/cluster/test_metrics.py looks whether a server has them."""

_WORDS = frozenset({"sum", "max", "by", "rate", "increase", "absent", "histogram_quantile"})
_SERIES = re.compile(r"(?<![\w$])([a-z][a-z_]+)(?:\{([^}]*)\})?")
_BY = re.compile(r"\bby \(([^)]*)\)")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_expressions() -> dict[str, str]:
    """Return the expressions of the dashboard, by the title of the panel and the name of the query."""
    return {f"{panel['title']}, {one['refId']}": one["expr"] for panel in panels() for one in panel["targets"]}


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    document = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def unknown(expression: str) -> list[str]:
    """Return what an expression asks for that nobody tells: series, and labels of series that have others."""
    found: list[str] = []
    bare = _BY.sub(" ", expression)
    labels: set[str] = set()
    for name, selector in _SERIES.findall(re.sub(r"\[[^\]]*\]", "", bare)):
        if name in _WORDS:
            continue
        known = OURS.get(name, FOREIGN.get(name))
        if known is None:
            found.append(name)
            continue
        labels |= known
        found += [f"{name}{{{label}}}" for label in _LABEL.findall(selector) if label not in known]
    grouped = {label.strip() for group in _BY.findall(expression) for label in group.split(",")}
    return found + sorted(f"by ({label})" for label in grouped - labels)
