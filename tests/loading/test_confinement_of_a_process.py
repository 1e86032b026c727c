"""confine() in a process that does nothing else: no Ray, no IOC."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import public_python

CODE = """\
import json, os, resource, stat, subprocess, sys, tempfile
from pathlib import Path
from iocmng.core.limits import Limits
from iocmng.loading.confinement import Confinement, Owner, confine, descendants
from iocmng.errors import PluginRejected

given = json.loads(sys.argv[1])
state = Path(given["state"])
owner = Owner(given["uid"], given["uid"], given.get("shared", False)) if "uid" in given else None
what = Confinement(
    limits=Limits(**given.get("limits", {})), work=state / "work" / "p", values=state / "values" / "p",
    code=(str(state / "bundles" / "digest" / "files"),), umask=0o027, environment=("SITE_*",), owner=owner, main=1,
    name="p", insists_on_cpu=False,
)
try:
    confine(what)
except PluginRejected as error:
    print(json.dumps(error.failures[0].message))
    sys.exit()


def outcome(call):
    try:
        return call()
    except (MemoryError, OSError) as error:
        return type(error).__name__


def start(number):
    held = []
    try:
        for _ in range(number):
            held.append(subprocess.Popen(["sleep", "60"]))
        return len(held)
    finally:
        for each in held:
            each.kill()
            each.wait()


def fork():
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "forked"


Path("note").write_text("x")
print(json.dumps({
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(), "cwd": os.getcwd(),
    "environment": dict(os.environ), "temporary": tempfile.gettempdir(),
    "mode": stat.S_IMODE(os.stat("note").st_mode),
    "little": outcome(lambda: len(bytearray(50 << 20))), "much": outcome(lambda: len(bytearray(900 << 20))),
    "files": outcome(lambda: len([open("/dev/null") for _ in range(60)])),
    "more files": outcome(lambda: len([open("/dev/null") for _ in range(600)])),
    "two": outcome(lambda: start(2)), "five": outcome(lambda: start(5)), "fork": outcome(fork),
    "system": outcome(lambda: os.system("true")),
    "database": outcome(lambda: (state / "iocmng.db").read_text()),
    "other": outcome(lambda: (state / "work" / "q" / "secret").read_text()),
    "other values": outcome(lambda: (state / "values" / "q" / "q.softsav").read_text()),
    "list": outcome(lambda: os.listdir(state)),
    "own code": outcome(lambda: (state / "bundles" / "digest" / "files" / "plugin.py").read_text()),
    "change": outcome(lambda: (state / "bundles" / "digest" / "files" / "plugin.py").write_text("")),
    "root again": outcome(lambda: os.setuid(0)),
    "values": outcome(lambda: (state / "values" / "p" / "p.softsav").read_text()),
    "privileges": [line.split()[1] for line in open("/proc/thread-self/status") if line.startswith("NoNewPrivs")],
}))
"""


PYTHON = public_python()
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or PYTHON is None, reason="needs root, and a Python that other users can read"
)


@pytest.fixture
def state():
    """A state directory with the files of the plugins p and q, below directories that everybody may enter."""
    root = Path(tempfile.mkdtemp(prefix="iocmng-confine-"))
    root.chmod(0o755)
    directory = root / "state"
    for place in ("work/q", "values/q", "values/p", "bundles/digest/files", "staging"):
        (directory / place).mkdir(parents=True)
    for name in ("iocmng.db", "work/q/secret", "values/q/q.softsav", "values/p/p.softsav"):
        (directory / name).write_text(name)
    for name in ("work/q", "values/q"):
        (directory / name).chmod(0o700)  # as the process of q has left them
    code = directory / "bundles" / "digest" / "files" / "plugin.py"
    code.write_text("code")
    code.chmod(0o600)  # a strict umask
    code.parent.chmod(0o700)
    directory.chmod(0o700)
    yield directory
    shutil.rmtree(root, ignore_errors=True)


def confined(state, **given):
    """Return what a process finds that was confined."""
    executable, path = PYTHON or (sys.executable, "")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "IOCMNG_TOKEN": "canary", "SITE_A": "1", "HOME": "/"}
    done = subprocess.run(
        [executable, "-c", CODE, json.dumps({"state": str(state), **given})],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_limits(state):
    """Memory, files and processes beyond them are errors in Python, and what fits goes on."""
    found = confined(state, limits={"memory": "64Mi", "open_files": 64, "processes": 3})
    assert (found["little"], found["much"]) == (50 << 20, "MemoryError")
    assert (found["files"], found["more files"]) == (60, "OSError")
    assert (found["two"], found["five"], found["fork"], found["system"]) == (2, "BlockingIOError", "forked", 0)


def test_nothing_is_limited_without_limits(state):
    """As it was before there were any."""
    found = confined(state)
    assert (found["much"], found["five"]) == (900 << 20, 5)


def test_directory_umask_and_environment(state):
    """Its own directory, the site's umask, and no variable of the server's."""
    found = confined(state)
    work = state / "work" / "p"
    assert (found["cwd"], found["temporary"], found["mode"]) == (str(work), str(work / "tmp"), 0o640)
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert "canary" not in str(found["environment"])
    assert found["environment"]["SITE_A"] == "1"


@needs_root
def test_a_user_of_its_own(state):
    """It has no rights left, reads its own files, and nobody else's."""
    found = confined(state, uid=61234, limits={"processes": 5})
    assert (found["uid"], found["gid"], found["groups"]) == ([61234] * 3, [61234] * 3, [])
    assert (found["root again"], found["privileges"]) == ("PermissionError", ["1"])
    for closed in ("database", "other", "other values", "list", "change"):
        assert found[closed] == "PermissionError", closed
    assert (found["own code"], found["values"]) == ("code", "values/p/p.softsav")
    assert found["environment"]["HOME"] == found["cwd"]


@needs_root
def test_a_link_of_the_plugin_s_leads_root_nowhere(state):
    """What a plugin has put into its directory is not followed while the process is still root's."""
    confined(state, uid=61234)
    temporary = state / "work" / "p" / "tmp"
    temporary.rmdir()
    temporary.symlink_to(state / "staging")
    before = (state / "staging").stat()
    confined(state, uid=61234)
    confined(state, uid=61235)
    after = (state / "staging").stat()
    assert (after.st_uid, stat.S_IMODE(after.st_mode)) == (before.st_uid, 0o700)


@needs_root
def test_who_is_not_root_cannot_change_users(state):
    """The sentence says what is missing, and nothing of the plugin runs."""
    executable, path = PYTHON
    state.chmod(0o777)
    for place in ("work", "values", "bundles"):
        shutil.chown(state / place, 61234)
    shutil.chown(state, 61234)
    code = CODE.replace("import json,", "import os; os.setuid(61234)\nimport json,", 1)
    done = subprocess.run(
        [executable, "-c", code, json.dumps({"state": str(state), "uid": 61236})],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "could not be confined" in done.stdout, done.stderr
