"""What each command prints, letter by letter, in text and with --json: tests/cli/golden.

After a change that is meant:  RENEW_GOLDEN=1 python -m pytest tests/cli/test_cli_golden.py; then read the diff.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_objects import plugin_object
from served_api import FAILED, RUNNING, SUCCESS, Command, ServedApi, result_object

from iocmng.core.audit import AuditEntry, AuditKind, Door
from iocmng.core.request import PluginRequest
from iocmng.core.state import Applied, Cause, Generation, GenerationResult
from iocmng.errors import CheckFailure, InvalidRequest, IocmngError, PluginRejected, SourceUnavailable

GOLDEN = Path(__file__).parent / "golden"

PLUGINS_YAML = """\
plugins:
  - name: pump
    git_url: https://git.example.org/pump.git
    pat: never-shown
  - name: gauge
    path: gauge
"""


def nothing(api: ServedApi) -> None:
    """Leave everything as it is."""


def raising(call: str, error: IocmngError) -> Callable[[ServedApi], None]:
    """Let a call of the Controller fail."""

    def prepare(api: ServedApi) -> None:
        api.controller.raises[call] = error

    return prepare


REJECTED = PluginRejected.because(
    CheckFailure("config", "unknown key 'prek'; did you mean 'prec'?", "config.yaml", 7),
    CheckFailure("syntax", "invalid syntax", "pump.py", 12),
)


def with_past(api: ServedApi) -> None:
    """Give the task two generations and some events."""
    spec = PluginRequest(name="monitor", git_url="https://git.example.org/plugins.git", branch="main").spec(None)
    api.controller.past["monitor"] = [
        Generation("monitor", 2, Cause.RESTART, 1_700_000_100.0, spec, GenerationResult.FAILED, "syntax: no\nmore"),
        Generation("monitor", 1, Cause.ADD, 1_700_000_000.0, spec, GenerationResult.STARTED),
    ]
    api.do(lambda controller: [controller.emit("monitor"), controller.emit("scan", previous=None, reason="")])


def with_audit(api: ServedApi) -> None:
    """Let somebody have done something."""
    api.controller.audited = [
        AuditEntry(
            at=1_700_000_000.5,
            door=Door.REST,
            kind=AuditKind.CHANGE,
            who="ada",
            role="admin",
            what="add_task",
            method="POST",
            plugin="pump",
            status=201,
            id=1,
            duration=812.5,
            address="10.0.0.7:51234",
            request={"branch": "main"},
        ),
        AuditEntry(
            at=1_700_000_060.0,
            door=Door.REST,
            kind=AuditKind.REFUSED,
            who="-",
            what="remove_task",
            method="DELETE",
            plugin="pump",
            status=401,
            code="unauthorized",
            id=2,
        ),
        AuditEntry(
            at=1_700_000_120.0,
            door=Door.EPICS,
            kind=AuditKind.WRITE,
            who="ada@\x1b[2Jconsole",
            what="put",
            method="ca",
            plugin="monitor",
            id=3,
            request={"pv": "BL:NS:MONITOR:ENABLE", "before": "ENABLED", "value": "DISABLED", "count": 1},
        ),
    ]


def script(*steps: dict[str, Any]) -> Callable[[ServedApi], None]:
    """Let a run go through these steps."""

    def prepare(api: ServedApi) -> None:
        api.runs.script = list(steps)

    return prepare


def without_plugins(api: ServedApi) -> None:
    """Remove everything."""
    api.do(lambda controller: [controller.drop(name) for name in list(controller.plugins)])


def with_bad_words(api: ServedApi) -> None:
    """Let a plugin write what would steer a terminal."""
    api.controller.log_lines = ["plain", "\x1b[2J\x1b]0;title\x07[red]markup[/red] täglich"]


def with_a_node_of_its_own(api: ServedApi) -> None:
    """Let the job's node say under which name clients reach it."""
    endpoint = {"host": "10.0.0.2", "ca_port": 5064, "pva_port": 5075, "public_host": "iocs.example.org"}
    api.do(lambda controller: [controller.put(plugin_object("scan", "job", endpoint=endpoint))])


def with_failed_apply(api: ServedApi) -> None:
    """Let one entry of a plugins file fail."""
    api.controller.applied = [Applied("gauge", "added"), Applied("pump", "failed", "clone: no such repository")]


HALF = RUNNING | {"progress": 40.0, "message": "step 4 of 10"}
DONE = SUCCESS | {"message": "ready", "result": result_object({"peak": [1.5, 2], "unit": "°C"}, message="found it")}
BAD = FAILED | {"message": "no light", "result": result_object(success=False, message="no light")}

Scenario = tuple[Callable[[ServedApi], None], list[str]]

SCENARIOS: dict[str, Scenario] = {
    "add": (
        nothing,
        [
            "add pump --git-url https://git.example.org/x.git --branch v1 --param a.b=1 --param mode=fast --no-start",
            "add gauge --local-path /srv/gauge --json",
            "add gauge --local-path /srv/gauge",
        ],
    ),
    "add-rejected": (
        raising("add", REJECTED),
        ["add pump --git-url https://git.example.org/pump.git", "add pump --git-url x --json"],
    ),
    "add-unfetched": (
        raising("add", SourceUnavailable.because("https://git.example.org/pump.git: repository not found")),
        ["add pump --git-url https://git.example.org/pump.git"],
    ),
    "list": (nothing, ["list", "list --type job", "list --type job --json"]),
    "list-empty": (without_plugins, ["list", "list --json"]),
    "get": (nothing, ["get monitor", "get monitor --json", "get none", "get none --json"]),
    "remove": (nothing, ["remove monitor", "remove scan --json", "remove monitor"]),
    "start-stop": (nothing, ["stop monitor", "start monitor", "start monitor --json", "stop scan"]),
    "restart": (nothing, ["restart monitor", "restart monitor --json"]),
    "restart-rejected": (raising("restart", REJECTED), ["restart monitor"]),
    "rollback": (nothing, ["rollback monitor", "rollback monitor --generation 1 --json"]),
    "generations": (with_past, ["generations monitor", "generations monitor --json"]),
    "events": (with_past, ["events", "events scan", "events scan --json"]),
    "audit": (
        with_audit,
        ["audit", "audit pump --limit 1", "audit --who ada --json", "audit --what none", "audit --since yesterday"],
    ),
    "logs": (with_bad_words, ["logs monitor", "logs monitor --tail 1 --json"]),
    "pvs": (nothing, ["pvs scan", "pvs scan --json"]),
    "pvs-name-servers": (
        with_a_node_of_its_own,
        [
            "pvs --name-servers",
            "pvs --name-servers --json",
            "pvs scan --name-servers",
            "pvs scan --name-servers --inside",
            "pvs none --name-servers",
            "pvs --whole-range",
        ],
    ),
    "health": (nothing, ["health", "health --json"]),
    "apply": (nothing, ["apply -f plugins.yaml", "apply -f plugins.yaml --json", "apply -f none.yaml"]),
    "apply-failed": (with_failed_apply, ["apply -f plugins.yaml", "apply -f plugins.yaml --json"]),
    "job-run": (script(HALF, DONE), ["job run scan --param x=1 --timeout 5", "job run scan --json"]),
    "job-run-failed": (script(BAD), ["job run scan", "job run scan --json"]),
    "job-run-cancelled": (
        script(SUCCESS | {"state": "cancelled", "message": "cancelled by operator", "progress": 40.0}),
        ["job run scan"],
    ),
    "job-run-no-wait": (script(HALF), ["job run scan --no-wait", "job run scan --no-wait --json"]),
    "job-refused": (
        script(HALF),
        ["job run none", *["job run scan --no-wait"] * 4, "job show scan 99", "job show scan 99 --json"],
    ),
    "job-look": (
        script(BAD | {"log": ["a line", "another"]}),
        [
            "job run scan --no-wait",
            "job show scan 7",
            "job show scan 7 --json",
            "job runs scan",
            "job runs scan --json",
        ],
    ),
    "job-cancel": (
        script(HALF),
        [
            "job run scan --no-wait",
            "job cancel scan 7",
            "job cancel scan 7",
            "job run scan --no-wait",
            "job cancel scan 8 --json",
        ],
    ),
    "refused-by-the-server": (
        raising("restart", InvalidRequest("parameters.x: must be at most 5")),
        ["restart monitor"],
    ),
    "a-mistake-of-the-server": (
        raising("restart", RuntimeError("oops")),
        ["restart monitor", "restart monitor --json"],
    ),  # type: ignore[arg-type]
}


def shortened(out: str) -> str:
    """Return an object of the API as it was printed, with no more of a plugin object than its name."""
    told = json.loads(out)
    assert out == _dumped(told)
    return _dumped(_short(told))


def _dumped(told: Any) -> str:
    return f"{json.dumps(told, indent=2, ensure_ascii=False)}\n"


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "built_pvs" in value:
        return {"name": value["name"], "...": "..."}
    return {key: _short(item) for key, item in value.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_commands_print_what_is_written_down(
    name: str, api: ServedApi, iocmng: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stdout, stderr (marked with '! ') and exit status of each command are those of its golden file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins.yaml").write_text(PLUGINS_YAML)
    prepare, lines = SCENARIOS[name]
    prepare(api)
    transcript = ""
    for line in lines:
        status, out, err = iocmng(*shlex.split(line))
        marked = "".join(f"! {row}\n" for row in err.splitlines())
        out = shortened(out) if line.endswith("--json") and out else out
        transcript += f"$ iocmng {line}\n{out}{marked}exit status {status}\n\n"
    transcript = transcript.replace(api.url, "URL").replace(str(tmp_path), "DIR")
    transcript = re.sub(r"iocmng \d+\.\d+\.\d+\S*,|(\"version\": )\"[^\"]*\"", r"\1VERSION", transcript)
    assert "never-shown" not in transcript
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(transcript, encoding="utf-8")
    assert transcript == file.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    """Each file belongs to a scenario."""
    assert {file.stem for file in GOLDEN.iterdir()} == set(SCENARIOS)
