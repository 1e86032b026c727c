"""Where code may come from, on a real server: what is refused, how, and that what runs goes on."""

import pytest
from signing import Key, signed_commit
from support import MINIMAL_TASK, Server, caget, commit_files, wait_for

pytestmark = pytest.mark.thorough


@pytest.fixture
def server_that_allows(tmp_path):
    """Return a maker of servers on one state that take code from some repositories only."""
    made = []

    def make(pattern, **environment):
        server = Server(
            tmp_path / "server",
            "ALW",
            IOCMNG_GIT_ALLOW=f"file://{tmp_path}/server/repositories/{pattern}",
            IOCMNG_ALLOWED_SIGNERS=str(tmp_path / "signers"),
            **environment,
        )
        made.append(server)
        return server.wait_until_ready()

    yield make
    for server in made:
        if server.process.poll() is None:
            assert server.stop() == 0


@pytest.fixture
def key(tmp_path):
    made = Key(tmp_path, "key")
    (tmp_path / "signers").write_text(made.allowed())
    return made


def refused(answer, words):
    """Check that the clone step refuses: 422, with words that say what to do."""
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["validation"]["errors"]
    assert error["step"] == "clone"
    assert words in error["message"]


def test_signatures_are_asked_for_and_no_rollback_leads_around_them(server_that_allows, key):
    """Add, PATCH and rollback with require_signed: what is unsigned is refused, and what runs goes on."""
    server = server_that_allows("*")
    pump = server.repository("pump", {"m.py": MINIMAL_TASK})
    url = str(pump.working_dir)
    refused(server.http.post("/plugins", json={"name": "pump", "git_url": url, "require_signed": True}), "signature")
    assert server.names() == set()
    assert server.leftovers() == []
    assert server.http.post("/plugins", json={"name": "pump", "git_url": url}).status_code == 201
    unsigned = server.get("pump")
    answer = server.http.patch("/plugins/pump", json={"require_signed": True})
    refused(answer, "carries no signature")
    assert (server.get("pump")["pid"], server.get("pump")["commit"]) == (unsigned["pid"], unsigned["commit"])
    commit = signed_commit(pump, key)
    assert server.http.patch("/plugins/pump", json={"require_signed": True}).status_code == 200
    assert server.get("pump")["commit"] == commit
    refused(server.http.post("/plugins/pump/rollback", json={"generation": 1}), "carries no signature")
    assert server.get("pump")["commit"] == commit
    commit_files(pump, {"more.py": ""})
    refused(server.http.post("/plugins/pump/restart"), "carries no signature")
    assert server.http.patch("/plugins/pump", json={"require_signed": False}).status_code == 200
    assert server.get("pump")["commit"] == commit
    assert server.http.post("/plugins/pump/restart").status_code == 200
    assert server.get("pump")["commit"] == pump.head.commit.hexsha
    assert caget("ALW:PUMP:STATUS") == "RUN"


def test_what_is_no_longer_allowed_does_not_start(server_that_allows, key):
    """Another list at the next start of the server: add, start from kept files, restart and rollback obey it."""
    server = server_that_allows("old*")
    server.repository("old", {"m.py": MINIMAL_TASK})
    refused(server.add("new", {"m.py": MINIMAL_TASK}), "IOCMNG_GIT_ALLOW")
    assert server.names() == set()
    old = {"name": "old", "git_url": str(server.repositories / "old")}
    assert server.http.post("/plugins", json=old).status_code == 201
    assert server.http.post("/plugins/old/restart").status_code == 200
    assert server.stop() == 0

    server = server_that_allows("new*")
    wait_for(lambda: "IOCMNG_GIT_ALLOW" in (server.get("old")["message"] or ""), "it is refused", 60)
    assert server.get("old")["status"] != "running"
    assert server.add("new", {"m.py": MINIMAL_TASK}).status_code == 201
    refused(server.http.post("/plugins/old/restart"), "IOCMNG_GIT_ALLOW")
    rolled_back = server.http.post("/plugins/old/rollback", json={"generation": 1})
    refused(rolled_back, "IOCMNG_GIT_ALLOW")
    assert (caget("ALW:NEW:STATUS"), caget("ALW:OLD:STATUS")) == ("RUN", None)
    assert server.http.delete("/plugins/old").status_code == 200
