"""Every plugin that cannot be: the answer says which check failed and where, nothing stays, the name is free."""

import pytest
from support import MINIMAL_TASK, wait_for


def task(body: str = "pass", before: str = "", init: str = "") -> str:
    """Return a plugin whose initialize() has this body."""
    return f"""\
import os, ctypes, time
from iocmng import TaskBase
{before}

class Broken(TaskBase):
    {init}
    def initialize(self):
        {body}

    def execute(self):
        pass

    def cleanup(self):
        pass
"""


OTHER = MINIMAL_TASK.replace("class Minimal", "class Other").split("\n\n\n")[1]

# name: (files, body, status, step, words of the message)
REJECTIONS = {
    "raises at import": ({"p.py": task(before="raise RuntimeError('no licence')")}, {}, 422, "import", "no licence"),
    "imports what is missing": ({"p.py": task(before="import no_such_module")}, {}, 422, "import", "no_such_module"),
    "exits at import": ({"p.py": task(before="os._exit(3)")}, {}, 422, "import", "ended"),
    "sys.exit at import": ({"p.py": task(before="raise SystemExit(3)")}, {}, 422, "import", "SystemExit"),
    "KeyboardInterrupt at import": ({"p.py": task(before="raise KeyboardInterrupt")}, {}, 422, "import", "Interrupt"),
    "segfaults at import": ({"p.py": task(before="ctypes.string_at(0)")}, {}, 422, "import", "ended"),
    "hangs at import": ({"p.py": task(before="time.sleep(3600)")}, {}, 422, "import", "within 5 s"),
    "raises in __init__": (
        {"p.py": task(init="def __init__(self): raise ValueError('bad luck')\n")},
        {},
        422,
        "constructor",
        "bad luck",
    ),
    "raises in initialize": ({"p.py": task("raise OSError('no sensor')")}, {}, 422, "initialize", "no sensor"),
    "CancelledError in initialize": (
        {"p.py": task("raise __import__('asyncio').CancelledError('enough')")},
        {},
        422,
        "initialize",
        "CancelledError: enough",
    ),
    "hangs in initialize": ({"p.py": task("time.sleep(3600)")}, {}, 422, "initialize", "within 5 s"),
    "exits in initialize": ({"p.py": task("os._exit(0)")}, {}, 422, "initialize", "ended"),
    "segfaults in initialize": ({"p.py": task("ctypes.string_at(0)")}, {}, 422, "initialize", "ended"),
    "syntax error": ({"p.py": "class X(:\n"}, {}, 422, "syntax", ""),
    "missing abstract method": (
        {"p.py": MINIMAL_TASK.replace("def cleanup", "def clean_up")},
        {},
        422,
        "abstract methods",
        "cleanup",
    ),
    "two classes": ({"p.py": MINIMAL_TASK + "\n\n" + OTHER}, {}, 422, "inheritance", "Other"),
    "no class": ({"p.py": "from iocmng import TaskBase\n"}, {}, 422, "inheritance", ""),
    "only the base class imported": (
        {"p.py": "from iocmng import DeclarativeTask\n"},
        {},
        422,
        "inheritance",
        "",
    ),
    "config: wrong type": (
        {"p.py": MINIMAL_TASK, "config.yaml": "pvs: {inputs: {A: {type: float, prec: two}}}"},
        {},
        422,
        "config",
        "prec",
    ),
    "config: unknown key": ({"p.py": MINIMAL_TASK, "config.yaml": "parmeters: {}"}, {}, 422, "config", "parameters"),
    "config: unknown PV type": (
        {"p.py": MINIMAL_TASK, "config.yaml": "pvs:\n  inputs:\n    A: {type: flaot}"},
        {},
        422,
        "config",
        "float",
    ),
    "config: name too long": (
        {"p.py": MINIMAL_TASK, "config.yaml": f"pvs: {{inputs: {{{'A' * 60}: {{type: int}}}}}}"},
        {},
        422,
        "config",
        "60 at most",
    ),
    "config: reserved name": (
        {"p.py": MINIMAL_TASK, "config.yaml": "pvs: {inputs: {STATUS: {type: int}}}"},
        {},
        422,
        "config",
        "built-in",
    ),
    "parameter: interval": ({"p.py": MINIMAL_TASK}, {"parameters": {"interval": "soon"}}, 422, "config", "interval"),
    "unknown branch": ({"p.py": MINIMAL_TASK}, {"branch": "no-such-branch"}, 422, "clone", "no-such-branch"),
    "unknown commit": ({"p.py": MINIMAL_TASK}, {"commit": "0123456789abcdef"}, 422, "clone", "0123456789abcdef"),
    "unknown path": ({"p.py": MINIMAL_TASK}, {"path": "no/such/path"}, 422, "clone", "no/such/path"),
    "path upwards": ({"p.py": MINIMAL_TASK}, {"path": "../.."}, 422, "clone", "'..'"),
    "unresolvable requirement": (
        {"p.py": MINIMAL_TASK, "requirements.txt": "./no-such-wheel-1.0-py3-none-any.whl\n"},
        {},
        422,
        "dependencies",
        "no-such-wheel",
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", REJECTIONS)
def test_a_plugin_that_cannot_be(server, case):
    """The failed check is named, nothing stays, and the same name can be added right away."""
    files, body, status, step, words = REJECTIONS[case]
    answer = server.add("broken", files, **body)
    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["ok"], problem["message"]) == (False, problem["detail"])
    errors = problem["validation"]["errors"]
    assert [error["step"] for error in errors] == [step]
    assert words in errors[0]["message"]
    assert server.names() == set()
    assert server.leftovers() == []
    wait_for(lambda: len(server.plugin_processes()) <= 1, "no process but a warm one")
    server.repository("good", {"p.py": MINIMAL_TASK})
    good = server.add("broken", git_url=str(server.repositories / "good"))
    assert good.status_code == 201, good.text


def test_where_the_mistake_is(server):
    """Errors of config, syntax and import have file and line."""
    for files, place in (
        ({"p.py": "x = 1\nclass X(:\n"}, ("p.py", 2)),
        ({"p.py": MINIMAL_TASK, "config.yaml": "pvs:\n  inputs:\n    A:\n      type: flaot\n"}, ("config.yaml", 3)),
        ({"p.py": "import iocmng\n\n\nclass A: pass\nraise KeyError(1)\n"}, ("p.py", 5)),
        ({"p.py": task("raise OSError('x')")}, ("p.py", 8)),
    ):
        error = server.add("broken", files).json()["validation"]["errors"][0]
        assert (error["file"], error["line"]) == place


def test_an_unknown_repository_is_a_bad_gateway(server):
    """A repository that cannot be fetched answers 502, step clone."""
    answer = server.add("nowhere", git_url=str(server.repositories / "no-such-repository"))
    assert answer.status_code == 502, answer.text
    assert answer.json()["validation"]["errors"][0]["step"] == "clone"
    assert server.names() == set()


def test_outside_the_local_roots_is_refused(server):
    """A directory outside IOCMNG_LOCAL_ROOTS is not taken, and the answer names the setting."""
    answer = server.add("outside", local_path="/etc")
    assert answer.status_code == 422
    assert "IOCMNG_LOCAL_ROOTS" in answer.json()["detail"]


def test_the_wrong_kind_is_a_bad_request(server):
    """A task sent to /jobs answers 400 and nothing stays."""
    answer = server.add("task", {"p.py": MINIMAL_TASK}, kind="jobs")
    assert answer.status_code == 400, answer.text
    assert server.names() == set()


def test_a_name_is_taken_once(server):
    """The second add of a name answers 409 and the first plugin is untouched."""
    server.add("twice", {"p.py": MINIMAL_TASK})
    pid = server.get("twice")["pid"]
    answer = server.add("twice", git_url=str(server.repositories / "twice"))
    assert answer.status_code == 409
    assert server.get("twice")["pid"] == pid


def test_two_plugins_never_serve_the_same_pv(server):
    """Names that differ in case, or equal prefixes, would give equal PVs: the second is refused."""
    server.add("motor", {"p.py": MINIMAL_TASK})
    answer = server.add("MOTOR", git_url=str(server.repositories / "motor"))
    assert answer.status_code == 422
    assert "served by plugin motor" in answer.json()["detail"]
    assert server.names() == {"motor"}


def test_without_waiting_a_rejection_stays_listed_with_its_reason(server):
    """POST ?wait=false answers 202 at once; a plugin that fails is listed as invalid, and its name can be used."""
    server.repository("late", {"p.py": "class X(:\n"})
    body = {"name": "late", "git_url": str(server.repositories / "late")}
    assert server.http.post("/plugins?wait=false", json=body).status_code == 202
    wait_for(lambda: server.get("late")["status"] == "invalid", "listed as invalid")
    assert server.get("late")["validation"]["failures"][0]["step"] == "syntax"
    assert server.leftovers() == []
    again = server.add("late", {"p.py": "class X(:\n"}.__class__({"q.py": MINIMAL_TASK, "p.py": "x = 1\n"}))
    assert again.status_code == 201, again.text
