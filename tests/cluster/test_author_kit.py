"""What iocmng new makes, on a real server; and iocmng validate says what the server says."""

import shutil

import pytest
from support import MINIMAL_TASK, wait_for, write_files

from iocmng.cli.new import TemplateKind, new
from iocmng.loading.validate import validate
from iocmng.settings import load_settings

pytestmark = pytest.mark.thorough


def test_the_server_accepts_all_kinds_of_the_template(server):
    """Each is added from its repository with its first commit, runs, and can be removed."""
    for kind in TemplateKind:
        directory = server.repositories / f"new-{kind.value}"
        shutil.rmtree(directory, ignore_errors=True)
        new(directory, kind, None)
        answer = server.add(directory.name, git_url=str(directory))
        assert answer.status_code == 201, answer.text
        plugin = answer.json()["plugin"]
        assert answer.json()["validation"] == {"ok": True, "errors": [], "failures": [], "warnings": []}
        assert plugin["plugin_type"] == ("job" if kind is TemplateKind.JOB else "task")
        assert plugin["class_name"] == f"New{kind.value.capitalize()}"
        assert len(plugin["commit"]) == 40
        assert plugin["status"] == ("loaded" if kind is TemplateKind.JOB else "running")
    wait_for(lambda: server.get("new-task")["cycle_count"] > 1, "cycles of the task")
    result = server.http.post("/jobs/new-job/run", json={"parameters": {"samples": 3}}).json()
    assert (result["ok"], result["result"]["data"]["samples"]) == (True, 3)


# One for each check that a directory can fail, with what may differ: nothing.
REJECTED = {
    "clone": {"p.py": MINIMAL_TASK, "secret": "-> /etc/passwd"},
    "dependencies": {"p.py": MINIMAL_TASK, "requirements.txt": "iocmng==0.1\n"},
    "config": {"p.py": MINIMAL_TASK, "config.yaml": "parmeters: {}\npvs: {inputs: {A: {type: flaot}}}\n"},
    "syntax": {"p.py": "class X(:\n", "q.py": "def\n"},
    "import": {"p.py": "import no_such_module\n" + MINIMAL_TASK},
    "inheritance": {"p.py": "from iocmng import TaskBase\n"},
    "abstract methods": {"p.py": MINIMAL_TASK.replace("def cleanup", "def clean_up")},
    "type": {"p.py": MINIMAL_TASK, "config.yaml": "type: job\n"},
    "built-in name": {"p.py": MINIMAL_TASK, "config.yaml": "pvs: {outputs: {RESET: {type: bool}}}\n"},
    "long name": {"p.py": MINIMAL_TASK, "config.yaml": f"prefix: {'X' * 50}\n"},
    "segfault": {"p.py": "import ctypes\nctypes.string_at(0)\n" + MINIMAL_TASK},
    "hangs": {"p.py": "import time\ntime.sleep(3600)\n" + MINIMAL_TASK},
}


@pytest.mark.parametrize("files", REJECTED.values(), ids=REJECTED.keys())
def test_validate_says_what_the_server_says(server, tmp_path, files):
    """The `validation` object is the same, entry by entry."""
    directory = server.repositories / "rejected"
    shutil.rmtree(directory, ignore_errors=True)
    write_files(directory, {name: text for name, text in files.items() if not text.startswith("->")})
    for name, text in files.items():
        if text.startswith("->"):
            (directory / name).symlink_to(text.removeprefix("-> "))
    answer = server.add("rejected", local_path=str(directory))
    assert answer.status_code == 422, answer.text
    settings = load_settings(plugins_dir=tmp_path, import_timeout=5)
    report = validate(directory, "rejected", server.prefix, settings).to_dict()
    assert {key: report[key] for key in ("ok", "errors")} == answer.json()["validation"]
