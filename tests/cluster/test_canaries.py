"""Secrets are hidden in a whole server, everything is done that may go wrong, and then they are looked for."""

import pytest
from canaries import Watch
from faults import CONTROLLER, kill, the_process
from git_https import GitServer, make_certificate
from git_ssh import ssh_server
from support import Server, commit_files, make_repository, stop_kept, wait_for

from iocmng.loading.kept_secrets import kept_secrets_directory
from iocmng.settings import Settings

pytestmark = pytest.mark.thorough

SECRETS = {
    "token": "c4nary-token-Zx81kq0W",
    "state key": "c4nary-state-key-m3Vb7tYp",
    "PAT": "c4nary-pat/Lw9sD2fG+1",
    "other PAT": "c4nary-other-pat-Qe4rTz6U",
    "parameter": "c4nary-parameter-Jk5nHb8V",
    "other parameter": "c4nary-other-parameter-Bn2mKo9P",
}

DUMP = """\
import os, sys
from pathlib import Path

from iocmng import TaskBase


def everything():
    texts = [repr(dict(os.environ)), repr(sys.argv)]
    for name in ("cmdline", "environ", "comm"):
        texts.append(repr(Path("/proc/self", name).read_bytes()))
        texts.append(repr(Path("/proc", str(os.getppid()), name).read_bytes()))
    texts += [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return " ".join(texts)


print(everything(), file=sys.stderr)


class Dump(TaskBase):
    def initialize(self):
        assert self.parameters["password"].startswith("c4nary")
        self.logger.info("all: %s", everything())
        Path(self.parameters["file"]).write_text(everything())
        if self.parameters["fails"]:
            raise RuntimeError(everything())

    def execute(self):
        pass

    def cleanup(self):
        pass
"""

CONFIG = """\
parameters_schema:
  password: {type: string, secret: true}
  file: {type: string}
  fails: {type: bool, default: false}
"""

FILES = {"dump.py": DUMP, "config.yaml": CONFIG}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def git_server(tmp_path, certificate):
    """A private repository over https."""
    make_repository(tmp_path / "served", FILES)
    with GitServer(tmp_path / "served", SECRETS["PAT"], *certificate).serving() as git_server:
        yield git_server


@pytest.fixture
def guarded(tmp_path, certificate):
    """Return a maker of servers that hold secrets."""

    def make(**environment):
        server = Server(
            tmp_path / "server",
            "CNR",
            IOCMNG_TOKEN=SECRETS["token"],
            IOCMNG_STATE_KEY=SECRETS["state key"],
            IOCMNG_HOST="127.0.0.1",
            IOCMNG_CRASH_BACKOFF="0.5",
            GIT_SSL_CAINFO=str(certificate[0]),
            NO_PROXY="localhost",
            **environment,
        ).wait_until_ready()
        server.http.headers["Authorization"] = f"Bearer {SECRETS['token']}"
        made.append(server)
        return server

    made = []
    yield make
    for server in made:
        if server.process.poll() is None:
            server.stop()


def body_of(git_server, tmp_path, name, **changes):
    parameters = {"password": SECRETS["parameter"], "file": str(tmp_path / "dump")} | changes.pop("parameters", {})
    return {"name": name, "git_url": git_server.url, "pat": SECRETS["PAT"], "parameters": parameters} | changes


def everything_that_goes_well(server, git_server, tmp_path):
    """Add, restart, PATCH of everything secret, rollback."""
    http = server.http
    added = http.post("/plugins", json=body_of(git_server, tmp_path, "good"))
    assert added.status_code == 201, added.text
    assert (tmp_path / "dump").stat().st_size > 1000
    assert http.post("/plugins/good/restart").status_code == 200
    changed = {"pat": SECRETS["PAT"], "parameters": {"password": SECRETS["other parameter"]}}
    assert http.patch("/plugins/good", json=changed).status_code == 200
    assert http.post("/plugins/good/rollback").status_code == 200


def everything_that_fails(server, git_server, tmp_path):
    """Wrong host, wrong PAT, unknown repository, rejected code, no repository any more."""
    http = server.http
    for name, status, changes in (
        ("host", 502, {"git_url": "https://localhost:1/repo.git"}),
        ("wrong", 502, {"pat": SECRETS["other PAT"]}),
        ("gone", 502, {"git_url": git_server.url.replace("repo.git", "none.git")}),
        ("inside", 422, {"git_url": git_server.url.replace("://", f"://user:{SECRETS['other PAT']}@")}),
        ("broken", 422, {"pat": SECRETS["PAT"] + "\n" + SECRETS["other PAT"]}),
        ("fails", 422, {"parameters": {"fails": True}}),
        ("type", 422, {"parameters": {"password": [SECRETS["other parameter"]]}}),
        ("body", 422, {"pat": [SECRETS["other PAT"]]}),
        ("key", 422, {"ssh_key": SECRETS["other PAT"], "pat": None}),
    ):
        answer = http.post("/plugins", json=body_of(git_server, tmp_path, name, **changes))
        assert answer.status_code == status, (name, answer.text)
    assert http.post("/plugins/good/stop", headers={"Authorization": "Bearer no"}).status_code == 401
    git_server.repository = tmp_path / "nowhere"
    assert http.post("/plugins/good/restart").status_code == 502
    git_server.repository = tmp_path / "served"


def everything_that_ends(server):
    """The plugin's process is killed, then the Controller; both come back."""
    pid = server.get("good")["pid"]
    kill(pid)
    wait_for(lambda: server.get("good")["pid"] not in (None, pid), "it is back", 60)
    pid = the_process(server, CONTROLLER)
    kill(pid)
    wait_for(lambda: server.processes_with(CONTROLLER) not in ([], [pid]), "another Controller", 60)
    wait_for(lambda: server.http.post("/plugins/good/restart").status_code == 200, "it works", 60)


def look_everywhere(watch):
    """Look where something could stand while the server runs; return the directory of its Ray."""
    watch.memory(b"gcs_server", CONTROLLER)
    watch.memory(b"raylet/raylet", b"node:__internal_head__")
    assert watch.files(watch.server.plugins_dir) > 2
    return watch.session()


def look_at_what_is_left(watch, session):
    """End the server, and look at everything that it leaves."""
    watch.files(watch.server.plugins_dir)
    assert watch.server.stop() == 0
    assert watch.files(watch.server.plugins_dir) > 2
    assert watch.files(session / "logs") > 5
    watch.search(watch.server.log.read_bytes(), "log of the server")


@pytest.mark.timeout(400)
def test_secrets_stand_nowhere(guarded, git_server, tmp_path):
    """Not in answers, events, logs of server and Ray, files, arguments, environments, nor in Ray's control store."""
    server = guarded()
    watch = Watch(server, SECRETS)
    git_server.on_request = watch.processes
    with watch.watching():
        everything_that_goes_well(server, git_server, tmp_path)
        everything_that_fails(server, git_server, tmp_path)
        everything_that_ends(server)
        for path in ("/plugins", "/plugins/good/logs?tail=2000", "/plugins/good/events", "/plugins/good/generations"):
            assert server.http.get(path).status_code == 200
        assert "c4nary" not in server.http.get("/plugins/good/logs?tail=2000").text
        session = look_everywhere(watch)
        assert server.http.delete("/plugins/good").status_code == 200
    look_at_what_is_left(watch, session)
    watch.search((tmp_path / "dump").read_bytes(), "what author's code has seen")
    assert watch.events > 10
    assert any(b"remote-https" in command for command in watch.seen_commands)
    # A plugin starts again from what the store has of it, its parameters too; its credentials are encrypted there.
    found = {(name, where) for name, where in watch.found if "parameter" not in name or "/.iocmng/state." not in where}
    assert sorted(found) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_secrets_of_a_server_that_keeps_its_plugins(guarded):
    """With --keep, the Controller outlives the server and begins anew without it: Ray keeps no secret for that."""
    server = guarded(IOCMNG_KEEP="true")
    watch = Watch(server, SECRETS)
    kept = kept_secrets_directory(Settings(plugins_dir=server.plugins_dir))
    try:
        (pid,) = server.processes_with(CONTROLLER)
        kill(pid)
        wait_for(lambda: server.processes_with(CONTROLLER) not in ([], [pid]), "another Controller", 60)
        wait_for(lambda: server.http.delete("/plugins/none").status_code == 404, "it has its state", 60)
        assert (kept / "state_key").read_text() == SECRETS["state key"]
        watch.processes()
        look_everywhere(watch)
    finally:
        assert server.stop() == 0
        ended = stop_kept(server)
    assert ended.returncode == 0, ended.stderr
    assert sorted(watch.found) == []
    assert not kept.exists()


@pytest.mark.timeout(400)
def test_an_ssh_key_stands_nowhere(guarded, tmp_path):
    """By value and by file, from a real sshd: ssh has it, and nothing shows or keeps it."""
    repository = make_repository(tmp_path / "served", FILES)
    with ssh_server(tmp_path / "sshd") as sshd:
        server = guarded(IOCMNG_SSH_KNOWN_HOSTS=str(sshd.known_hosts), IOCMNG_SECRETS_DIR=str(sshd.key_file.parent))
        watch = Watch(server, {"ssh key": sshd.key})
        parameters = {"password": "c4nary", "file": str(tmp_path / "dump")}
        body = {"git_url": sshd.url(tmp_path / "served"), "parameters": parameters}
        with watch.watching():
            by_value = server.http.post("/plugins", json=body | {"name": "value", "ssh_key": sshd.key})
            assert by_value.status_code == 201, by_value.text
            by_file = server.http.post("/plugins", json=body | {"name": "file", "ssh_key_file": sshd.key_file.name})
            assert by_file.status_code == 201, by_file.text
            commit = commit_files(repository, {"more.py": ""})
            assert server.http.post("/plugins/value/restart").status_code == 200
            assert server.get("value")["commit"] == commit
            gone = {"name": "gone", "ssh_key": sshd.key, "git_url": sshd.url(tmp_path / "none")}
            assert server.http.post("/plugins", json=body | gone).status_code == 502
            session = look_everywhere(watch)
        look_at_what_is_left(watch, session)
    assert any(command.startswith(b"ssh\0") for command in watch.seen_commands)
    assert sorted(watch.found) == []
