"""`iocmng apply -f FILE` against a running server: the file is desired state."""

import json
import subprocess
import sys

import pytest
import yaml
from support import MINIMAL_TASK, commit_files, free_port

pytestmark = pytest.mark.thorough


@pytest.fixture
def apply(server, tmp_path):
    """Write a plugins file and apply it; return exit status, stdout and stderr."""
    file = tmp_path / "plugins.yaml"

    def run(*entries, url=f"http://127.0.0.1:{server.port}", options=()):
        file.write_text(yaml.safe_dump({"plugins": list(entries)}))
        command = [sys.executable, "-m", "iocmng", "apply", "-f", file, "--url", url, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def entry(server):
    """Return an entry for a plugin in a repository of its own."""

    def make(name, **keys):
        if not (server.repositories / name).exists():
            server.repository(name, {"m.py": MINIMAL_TASK})
        return {"name": name, "git_url": str(server.repositories / name), **keys}

    return make


def test_entries_are_added_changed_and_removed(server, apply, entry):
    """A second apply of the same file changes nothing; what somebody else has added is left alone."""
    server.add("mine", {"m.py": MINIMAL_TASK})
    assert apply(entry("one"), entry("two")) == (0, "one added\ntwo added\n", "")
    pids = {name: server.get(name)["pid"] for name in ("one", "two", "mine")}
    assert apply(entry("one"), entry("two")) == (0, "one unchanged\ntwo unchanged\n", "")
    assert apply(entry("one", parameters={"x": 1}), entry("three"))[:2] == (
        0,
        "two removed\none changed\nthree added\n",
    )
    assert server.names() == {"one", "three", "mine"}
    assert server.get("one")["start_parameters"] == {"x": 1}
    assert server.get("one")["owner"].endswith("plugins.yaml")
    assert server.get("mine")["pid"] == pids["mine"]


def test_an_entry_that_fails_stops_nothing(server, apply, entry):
    """It is told, the exit status is 1, the others are applied; with --json the API's answer is printed."""
    server.repository("bad", {"m.py": "syntax error here"})
    status, out, _ = apply(entry("bad"), entry("good"), options=["--json"])
    results = {result["name"]: result["action"] for result in json.loads(out)["results"]}
    assert (status, results) == (1, {"bad": "failed", "good": "added"})
    assert server.names() == {"good"}


def test_a_changed_entry_that_fails_leaves_the_old_version(server, apply, entry):
    """The plugin that runs is not lost, and its file's next apply tries again."""
    apply(entry("one"))
    commit_files(server.repository("one", {"m.py": MINIMAL_TASK}), {"m.py": "syntax error here"})
    status, out, _ = apply(entry("one", parameters={"x": 1}))
    assert status == 1
    assert "generation 1" in out
    assert (server.get("one")["status"], server.get("one")["start_parameters"]) == ("running", {})


def test_mistakes_are_told_in_one_sentence(apply, entry):
    """A file that does not fit: status 2 and nothing applied. No server: status 3."""
    status, _, error = apply({"name": "one", "git_ur": "x"})
    assert (status, error.count("\n")) == (2, 1)
    assert "git_ur" in error
    status, _, error = apply(entry("one"), url=f"http://127.0.0.1:{free_port()}")
    assert (status, error.count("\n")) == (3, 1)
