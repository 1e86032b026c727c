"""iocmng import: the configuration of an older controller becomes a plugins file and a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from iocmng.core.old_controller import CLASS_HINT, import_controller
from iocmng.errors import InvalidRequest
from iocmng.loading.plugins_file import read_plugins_file

OLD: dict[str, Any] = {
    "prefix": "LAB:CONTROL",
    "tasksrepo": "https://git.example.org/controls/tasks.git",
    "tasksrev": "v3",
    "tasks": [
        {
            "name": "pump_guard",
            "module": "pump_guard",
            "parameters": {"interval": 2, "limit": 1e-6},
            "pvs": {"inputs": {"LIMIT": {"type": "float", "value": 1}}, "outputs": {"OPEN": {"type": "bool"}}},
        },
        {"name": "slow scan", "module": "scans.slow"},
    ],
}


def hands(document: dict[str, Any], task: int = 0) -> str:
    return "\n".join(import_controller(document).tasks[task].hands)


def with_task(**keys: Any) -> dict[str, Any]:
    return {**OLD, "tasks": [{"name": "gauge", "module": "gauge", **keys}]}


def test_entries_name_repository_revision_and_directory():
    """One entry a task, with its parameters, in the file's order; names that are not allowed are made legal."""
    assert import_controller(OLD).plugins_file() == {
        "plugins": [
            {
                "name": "pump_guard",
                "git_url": "https://git.example.org/controls/tasks.git",
                "path": "pump_guard",
                "branch": "v3",
                "parameters": {"interval": 2, "limit": 1e-6},
            },
            {
                "name": "slow-scan",
                "git_url": "https://git.example.org/controls/tasks.git",
                "path": "scans/slow",
                "branch": "v3",
            },
        ]
    }


def test_the_report_says_what_is_left():
    """Where a module goes, what its config.yaml is, which name has changed, the prefix, and what its class needs."""
    done = import_controller(OLD)
    first, second = done.tasks
    assert first.config == {"pvs": OLD["tasks"][0]["pvs"]}
    assert first.hands == ("in the repository: move pump_guard.py to pump_guard/pump_guard.py",)
    assert second.config == {}
    assert "'slow-scan'" in second.hands[0]
    assert second.hands[1] == "in the repository: move scans/slow.py to scans/slow/slow.py"
    assert "IOCMNG_PREFIX=LAB:CONTROL" in done.hands[0]
    assert done.hands[-1] == CLASS_HINT


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"pvs": {"inputs": {"RESET": {"type": "bool"}}}}, "pvs.inputs.RESET: every task has a PV of this name"),
        ({"pvs": {"inputs": {"A": {"type": "double"}}}}, "pvs.inputs.A"),
        ({"pvs": ["A"]}, "pvs: "),
        ({"parameters": ["A"]}, "parameters: "),
        ({"paramters": {}}, "paramters: not carried over; did you mean 'parameters'?"),
    ],
)
def test_what_a_server_would_refuse_is_told(keys: dict[str, Any], said: str):
    """It stands in the report, with its place; the rest is carried over all the same."""
    assert said in hands(with_task(**keys))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "no list `tasks`"),
        ({**OLD, "tasks": []}, "no list `tasks`"),
        ({**OLD, "tasks": ["gauge"]}, "task 1 must be a mapping"),
        ({**OLD, "tasks": [{"parameters": {}}]}, "neither `name` nor `module`"),
        ({**OLD, "tasks": [{"name": "???"}]}, "not allowed"),
        ({**OLD, "tasks": [{"name": "a b"}, {"name": "a-b"}]}, "two tasks have the name a-b"),
        ({"tasks": OLD["tasks"]}, "`tasksrepo` is missing"),
        ({**OLD, "tasksrepo": ["x"]}, "`tasksrepo` must be text"),
    ],
)
def test_what_is_no_such_file_is_refused(document: dict[str, Any], said: str):
    """With a sentence that says what is missing."""
    with pytest.raises(InvalidRequest, match=said.replace("?", r"\?")):
        import_controller(document)


def test_a_prefix_that_is_none_and_unknown_keys():
    """Both are told of; neither stops the import."""
    told = import_controller({**OLD, "prefix": "a b", "taskrev": "x"}).hands
    assert told[0].startswith("prefix: ")
    assert told[1] == "taskrev: not carried over; did you mean 'tasksrev'?"


def iocmng(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "iocmng", "import", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_writes_a_file_that_a_server_reads(tmp_path: Path):
    """The file is a plugins file; stderr has the report; a file that exists is not overwritten."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(OLD))
    done = iocmng(".", "-o", "plugins.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    requests, problems = read_plugins_file(tmp_path / "plugins.yaml")
    assert problems == []
    assert [request.name for request in requests] == ["pump_guard", "slow-scan"]
    assert "pump_guard: beside the module, pump_guard/config.yaml:\n    pvs:\n      inputs:\n" in done.stderr
    again = iocmng(".", "-o", "plugins.yaml", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_the_command_prints_to_stdout(tmp_path: Path):
    """Without -o the plugins file alone goes to stdout, or entries and report as JSON."""
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(OLD))
    done = iocmng("old.yaml", cwd=tmp_path)
    assert yaml.safe_load(done.stdout) == import_controller(OLD).plugins_file()
    told = json.loads(iocmng("old.yaml", "--json", cwd=tmp_path).stdout)
    assert told["plugins"] == import_controller(OLD).plugins_file()["plugins"]
    assert told["hands"][-1] == CLASS_HINT
    missing = iocmng(".", cwd=tmp_path)
    assert missing.returncode == 2
    assert "holds none of config.yaml" in missing.stderr
