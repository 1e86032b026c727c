"""Plugins as users of their own, on a real server that runs as root."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from confinement_support import do, got, probe
from support import Server, caget, caput, public_python, wait_for

from iocmng.errors import InvalidRequest
from iocmng.loading.plugin_users import check_users
from iocmng.settings import Settings

pytestmark = pytest.mark.thorough

FIRST, LAST = 61200, 61203

SAVING_TASK = {
    "saving.py": """\
        from iocmng import TaskBase


        class Saving(TaskBase):
            def initialize(self):
                pass

            def execute(self):
                pass

            def cleanup(self):
                pass
    """,
    "config.yaml": "pvs: {inputs: {GAIN: {type: float, value: 1.0}}}\n",
}


PYTHON = public_python()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_python = pytest.mark.skipif(PYTHON is None, reason="no Python here that other users can read")


@pytest.fixture(scope="module")
def root():
    """A directory that everybody may enter; those of tmp_path are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="iocmng-users-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def users(root):
    """A server that gives each plugin a user of its own, with the probes `one` and `two` and the task `saving`."""
    assert PYTHON is not None
    python, path = PYTHON
    server = Server(
        root, "USR", python, PYTHONPATH=path, IOCMNG_PLUGIN_UIDS=f"{FIRST}-{LAST}", PYTHONDONTWRITEBYTECODE=""
    ).wait_until_ready()
    for name in ("one", "two"):
        # No two with the same files, which they would share.
        answer = server.add(name, {**probe("limits: {processes: 5}\n"), "notes.txt": name})
        assert answer.status_code == 201, answer.text
    assert server.add("saving", SAVING_TASK).status_code == 201
    yield server
    assert server.stop() == 0, server.log.read_text()


def uids_of(pid):
    """Return the real, effective, saved and file system user ids of all threads of a process."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return {tuple(map(int, re.findall(r"^Uid:\s+(.*)$", text, re.MULTILINE)[0].split())) for text in texts}


@needs_root
@needs_python
def test_each_plugin_has_a_user_of_its_own(users):
    """Before its code is imported, in all its threads, with no other group and no way to get rights."""
    seen = set()
    for name in ("one", "two"):
        for told in (got(do(users, name, "tell")), got(do(users, name, "mapped"))[0]):
            assert FIRST <= told["uid"] <= LAST
            assert (told["groups"], told["no_new_privileges"]) == ([], ["1"])
            assert uids_of(users.get(name)["pid"]) == {(told["uid"],) * 4}
            assert told["limits"]["RLIMIT_NPROC"] > 0
            seen.add(told["uid"])
    assert len(seen) == 2


@needs_root
@needs_python
def test_a_plugin_cannot_read_another_s_files_nor_the_state(users):
    """Directories, saved values, the state's database and key, and the environment of the server's processes."""
    state = users.plugins_dir / ".iocmng"
    caput("USR:SAVING:GAIN", 2.5)
    saved = state / "values" / "saving" / "saving.softsav"
    wait_for(lambda: saved.is_file() and "2.5" in saved.read_text(), "GAIN is saved", 40)
    assert got(do(users, "two", "write", "secret")) == 0o600
    closed = [
        *(state, state / "work", state / "work" / "two", state / "work" / "two" / "secret", saved),
        *(state / "values", state / "values" / "saving", state / "bundles", state / "staging"),
        *(path for path in state.iterdir() if path.is_file()),
        *(Path(f"/proc/{pid}/environ") for pid in (users.process.pid, users.get("two")["pid"])),
    ]
    found = got(do(users, "one", "look", [str(path) for path in closed]))
    assert {path: result for path, result in found.items() if result not in ("EACCES", "ENOENT")} == {}
    assert found[str(saved)] == "EACCES"


@needs_root
@needs_python
def test_a_plugin_cannot_write_its_own_code(users):
    """Its bundle is readable, and stays what was fetched."""
    code = got(do(users, "one", "where"))
    assert "class Probe" in got(do(users, "one", "look", [code]))[code]
    answer = do(users, "one", "write", code)
    assert "PermissionError" in answer["result"]["message"]


@needs_root
@needs_python
def test_a_restart_keeps_user_values_and_directory(users):
    """Another process of the same plugin can read what the one before has written."""
    uid = got(do(users, "one", "tell"))["uid"]
    do(users, "one", "write", "note")
    caput("USR:SAVING:GAIN", 3.5)
    for name in ("one", "saving"):
        assert users.http.post(f"/plugins/{name}/restart").status_code == 200
    assert got(do(users, "one", "look", ["note"])) == {"note": "something"}
    assert got(do(users, "one", "tell"))["uid"] == uid
    assert caget("USR:SAVING:GAIN") == "3.5"


@needs_root
@needs_python
def test_more_plugins_than_numbers_are_refused(users):
    """The sentence says what to do; the plugins that run go on."""
    taken = [name for name in ("four", "five") if users.add(name, {**probe(), "notes.txt": name}).status_code == 201]
    assert taken == ["four"]
    answer = users.add("five", {**probe(), "notes.txt": "five"})
    assert "all 4 user numbers of IOCMNG_PLUGIN_UIDS are in use" in answer.text
    users.http.delete("/plugins/four")
    assert users.add("five", {**probe(), "notes.txt": "five"}).status_code == 201
    users.http.delete("/plugins/five")


@pytest.mark.skipif(os.geteuid() == 0, reason="for users who are not root")
def test_only_root_gives_plugins_users():
    """Another server refuses to start, and says why."""
    with pytest.raises(InvalidRequest, match="needs a server that runs as root"):
        check_users(Settings(plugin_uids="60100-60199"))


@needs_root
def test_a_server_refuses_users_that_could_not_read_its_files(tmp_path):
    """It names the directory that is closed to them."""
    tmp_path.chmod(0o700)
    with pytest.raises(InvalidRequest, match="other users cannot enter"):
        check_users(Settings(plugin_uids="60100-60199", plugins_dir=tmp_path))
