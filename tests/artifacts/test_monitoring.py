"""monitoring/: the dashboard and the alerts ask for what a server tells, and Prometheus takes its files."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from docs_blocks import ROOT
from promql import MONITORING, OURS, panel_expressions, panels, rules, unknown

RULE = ROOT / "k8s/components/pod-monitor/prometheus-rule.yaml"
PAGE = ROOT / "docs/how-to/watch-with-prometheus.md"

CASES = """\
rule_files: [{rules}]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {{series: 'ray_iocmng_plugin_state{{plugin="pump", state="crashed", WorkerId="a"}}', values: '0x20 1x20'}}
      - {{series: 'ray_iocmng_plugin_crashes_total{{plugin="pump", WorkerId="a"}}', values: '0x10 1x10 2x10 3x20'}}
      - {{series: 'ray_iocmng_job_runs_total{{plugin="scan", result="failed", WorkerId="a"}}', values: '0x20 1x20'}}
      - {{series: 'ray_iocmng_plugins{{state="crashed", WorkerId="a"}}', values: '0x20 _x20'}}
      - {{series: 'up{{job="iocmng", instance="h"}}', values: '1x20 0x20'}}
      - {{series: 'ray_iocmng_cycle_overruns_total{{plugin="slow"}}', values: '0+2x80'}}
      - {{series: 'ray_iocmng_cycle_seconds_count{{plugin="slow"}}', values: '0+10x80'}}
    alert_rule_test:
      - {{eval_time: 4m, alertname: IocmngPluginCrashed}}
      - {{eval_time: 4m, alertname: IocmngControllerAway}}
      - {{eval_time: 4m, alertname: IocmngJobRunFailed}}
      - eval_time: 8m
        alertname: IocmngPluginCrashed
        exp_alerts: [{{exp_labels: {{severity: critical, plugin: pump}}, exp_annotations: {{summary: "{crashed}"}}}}]
      - eval_time: 12m
        alertname: IocmngPluginCrashLoop
        exp_alerts: [{{exp_labels: {{severity: warning, plugin: pump}}, exp_annotations: {{summary: "{loop}"}}}}]
      - eval_time: 8m
        alertname: IocmngJobRunFailed
        exp_alerts:
          - exp_labels: {{severity: warning, plugin: scan, result: failed}}
            exp_annotations: {{summary: A run of scan has ended as failed}}
      - eval_time: 8m
        alertname: IocmngNodeAway
        exp_alerts:
          - exp_labels: {{severity: critical, job: iocmng, instance: h}}
            exp_annotations: {{summary: "h tells no figures: its Ray, or the whole machine, is away"}}
      - eval_time: 20m
        alertname: IocmngControllerAway
        exp_alerts: [{{exp_labels: {{severity: critical}}, exp_annotations: {{summary: "{away}"}}}}]
      - eval_time: 20m
        alertname: IocmngCycleOverruns
        exp_alerts: [{{exp_labels: {{severity: warning, plugin: slow}}, exp_annotations: {{summary: "{overruns}"}}}}]
"""


def test_the_expressions_name_what_there_is():
    """Each series of the dashboard and of the alerts is one that is told, with the labels that it has."""
    expressions = panel_expressions() | {rule["alert"]: rule["expr"] for rule in rules()}
    assert len(expressions) > 25
    assert {name: missing for name, one in expressions.items() if (missing := unknown(one))} == {}


def test_a_wrong_expression_is_seen():
    """The check of the names finds a series, a label and a grouping that do not exist."""
    assert unknown("rate(ray_iocmng_nothing_total[5m])") == ["ray_iocmng_nothing_total"]
    assert unknown('ray_iocmng_plugins{plugin="p"}') == ["ray_iocmng_plugins{plugin}"]
    assert unknown("sum by (job_name) (ray_iocmng_ioc_records)") == ["by (job_name)"]


def test_the_dashboard_shows_every_metric():
    """Nothing is told that nobody looks at."""
    shown = " ".join(panel_expressions().values())
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in OURS if name not in shown} <= {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in OURS if name in shown
    }


def test_the_dashboard_can_be_imported():
    """Ids are unique, no panel covers another, and the data source is the reader's choice."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in everything)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "plugin"}
    sources = [one["datasource"] for panel in panels() for one in (panel, *panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def test_the_alerts_of_kubernetes_are_the_same():
    """The PrometheusRule of the component repeats monitoring/rules.yaml."""
    ours = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(RULE.read_text(encoding="utf-8"))["spec"] == ours


def test_every_alert_is_explained():
    """The page says of each alert what to do, and of no others."""
    told = re.findall(r"^\| `(Iocmng\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [rule["alert"] for rule in rules()]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize("what", ["config prometheus.yaml", "rules rules.yaml"])
def test_prometheus_takes_the_files(what):
    """Prometheus's own tool finds no fault in the configuration and the alerts."""
    done = promtool("check", *what.split())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_the_alerts_fire_when_they_should(tmp_path):
    """A crash, a crash loop, a failed run, overruns, a node and a Controller that are away; and not before."""
    summaries = {rule["alert"]: rule["annotations"]["summary"] for rule in rules()}
    cases = CASES.format(
        rules=MONITORING / "rules.yaml",
        crashed=summaries["IocmngPluginCrashed"].replace("{{ $labels.plugin }}", "pump"),
        loop=summaries["IocmngPluginCrashLoop"].replace("{{ $labels.plugin }}", "pump"),
        away=summaries["IocmngControllerAway"],
        overruns=summaries["IocmngCycleOverruns"].replace("{{ $labels.plugin }}", "slow"),
    )
    (tmp_path / "cases.yaml").write_text(cases, encoding="utf-8")
    done = promtool("test", "rules", str(tmp_path / "cases.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def promtool(*arguments):
    """Run promtool in monitoring/."""
    command = ["promtool", *arguments]
    return subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
