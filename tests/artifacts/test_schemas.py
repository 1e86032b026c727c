"""The JSON Schemas for editors: they take what the server takes, and mark the mistakes that people make."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from docs_blocks import ROOT, all_blocks
from jsonschema import Draft7Validator, Draft202012Validator

from iocmng.loading.plugins_file import read_plugins_file

REFERENCE = ROOT / "docs" / "reference"
FILES = {"config": "config.schema.json", "plugins": "plugins.schema.json"}


def schema(name: str):
    return json.loads((REFERENCE / FILES[name]).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("draft", [Draft7Validator, Draft202012Validator])
def test_they_are_schemas_of_the_drafts_that_editors_know(name, draft):
    """VS Code's YAML extension reads draft 7, others the newest."""
    draft.check_schema(schema(name))


@pytest.mark.parametrize("name", FILES)
def test_the_command_prints_what_is_committed(name):
    """`iocmng schema` gives an author the schema of the version that is installed."""
    command = [sys.executable, "-m", "iocmng", "schema", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, (REFERENCE / FILES[name]).read_text(encoding="utf-8"))


def test_every_plugins_file_that_is_shown_fits():
    """The example's, and those of the pages."""
    texts = [(ROOT / "examples" / "plugins.yaml").read_text(encoding="utf-8")]
    texts += [block.text for block in all_blocks() if block.language == "yaml" and block.text.startswith("plugins:\n")]
    assert len(texts) > 1
    for text in texts:
        assert [error.message for error in Draft7Validator(schema("plugins")).iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "entry",
    [
        "name: a\n    local_path: a",
        "name: a\n    path: a",
        'name: a\n    git_url: ""\n    path: a',
        "name: a\n    git_url: https://git.example.org/a.git\n    branch: null\n    pat_file: lab",
        "name: a\n    path: a\n    autostart_order: -3\n    parameters: {any: {thing: [1]}}\n    node: {room: '!hall'}",
    ],
)
def test_an_entry_that_the_server_reads_fits(tmp_path, entry):
    """Sources of each kind, a path alone, empty and null values."""
    file = tmp_path / "plugins.yaml"
    file.write_text(f"plugins:\n  - {entry}\n")
    requests, problems = read_plugins_file(file)
    assert (len(requests), problems) == (1, [])
    Draft7Validator(schema("plugins")).validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "plugin: []",
        "plugins: {a: {path: a}}",
        "plugins: [{path: a}]",
        "plugins: [{name: a b, path: a}]",
        "plugins: [{name: a, path: a, paramters: {}}]",
        "plugins: [{name: a, path: a, autostart_order: first}]",
        "plugins: [{name: a, path: a, auto_start: maybe}]",
    ],
)
def test_mistakes_are_marked(text):
    """A misspelt key, a missing name, a value of another type."""
    assert not Draft7Validator(schema("plugins")).is_valid(yaml.safe_load(text))
