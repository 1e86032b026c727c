"""What a plugin's process may do, on a real server: its environment, its directory, its limits, its children."""

import os
import signal
from pathlib import Path

import pytest
from confinement_support import do, got, probe
from delegated_group import why_no_share
from support import Server, caget, wait_for

pytestmark = pytest.mark.thorough

SECRETS = {
    "IOCMNG_TOKEN": "canary-of-the-token",
    "IOCMNG_STATE_KEY": "canary-of-the-key",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-cloud",
    "KUBERNETES_SERVICE_TOKEN": "canary-of-the-cluster",
    "UV_INDEX_SITE_PASSWORD": "canary-of-the-index",
    "PLUGIN_OF_ANOTHER_SETTING": "canary-of-a-neighbour",
    "RAY_AUTH_TOKEN": "canary-of-ray-0123456789abcdef0123456789abcdef",
}
"""What stands in the server's environment and is none of a plugin's business."""

LIMITS = "limits: {memory: 128Mi, open_files: 64, processes: 3, cpu: 2}\n"

GREEDY_TASK = """\
from iocmng import TaskBase


class Greedy(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        self.held = bytearray(1024 * 1024 * 1024)

    def cleanup(self):
        pass
"""


@pytest.fixture(scope="module")
def confined(tmp_path_factory):
    """A server with secrets, a further variable, and limits; it has a probe without and one with limits of its own."""
    server = Server(
        tmp_path_factory.mktemp("confined"),
        "CNF",
        IOCMNG_PLUGIN_ENV="SITE_*, OTHER_THING",
        IOCMNG_PLUGIN_MEMORY="256Mi",
        IOCMNG_PLUGIN_OPEN_FILES="128",
        SITE_THING="of the site",
        SITELESS="no",
        **SECRETS,
    ).wait_until_ready()
    server.http.headers["Authorization"] = f"Bearer {SECRETS['IOCMNG_TOKEN']}"
    for name, config in (("free", ""), ("tight", LIMITS)):
        answer = server.add(name, probe(config))
        assert answer.status_code == 201, answer.text
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture(params=["tell", "mapped"])
def told(confined, request):
    """What the plugin's process tells of itself, and what a worker of its map() does."""
    answer = got(do(confined, "free", request.param))
    return answer[0] if request.param == "mapped" else answer


def test_no_secret_is_in_the_environment(told):
    """Neither in os.environ nor in what the kernel shows of the process."""
    assert "canary" not in str(told["environment"])
    assert "canary" not in told["proc"]
    assert not [name for name in told["environment"] if name.startswith("RAY_")]
    assert [name for name in told["environment"] if name.startswith("IOCMNG_")] == ["IOCMNG_STARTED_BY"]


def test_what_a_plugin_needs_is_in_the_environment(told):
    """PATH, EPICS's own variables, and what the site adds."""
    assert told["environment"]["SITE_THING"] == "of the site"
    assert told["environment"]["EPICS_CA_AUTO_ADDR_LIST"] == "NO"
    assert told["environment"]["PATH"]
    assert "SITELESS" not in told["environment"]


def test_secrets_of_the_server_are_shown_by_none_of_its_processes(confined):
    """Also not by the server itself, whose environment had them when it began."""
    for pid in {confined.process.pid, *confined.descendants()}:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        for name in ("IOCMNG_TOKEN", "IOCMNG_STATE_KEY"):
            assert SECRETS[name].encode() not in environment, (pid, name)


def test_a_share_of_the_cpu_that_cannot_be_kept_is_told(confined):
    """A plugin that asks for one runs without, and its object says so."""
    reason = why_no_share()
    expected = [f"limits.cpu: 2 is not kept, the plugin runs without this limit: {reason}"] if reason else []
    assert confined.get("tight")["validation"]["warnings"] == expected
    assert confined.get("free")["validation"]["warnings"] == []


def test_directory_of_its_own(confined, told):
    """Author's code is imported in it; temporary files lie in it; nobody else may look into it."""
    work = confined.plugins_dir / ".iocmng" / "work" / "free"
    assert (told["cwd"], told["cwd_mode"]) == (str(work), 0o700)
    assert told["temporary"] == str(work / "tmp")
    assert told["umask"] == ["0077"]


def test_directory_lives_as_long_as_the_plugin(confined):
    """A restart keeps what lies in it, a removal does not."""
    confined.add("keeper", probe())
    work = confined.plugins_dir / ".iocmng" / "work" / "keeper"
    assert got(do(confined, "keeper", "write", "note")) == 0o600
    assert confined.http.post("/plugins/keeper/restart").status_code == 200
    assert got(do(confined, "keeper", "look", ["note"])) == {"note": "something"}
    assert confined.http.delete("/plugins/keeper").status_code == 200
    assert not work.exists()


@pytest.mark.parametrize(
    ("what", "little", "much", "words"),
    [
        ("allocate", 100, 900, "MemoryError: more memory than the process may take (see limits.memory"),
        ("open_files", 50, 400, "Too many open files"),
        ("start", 2, 6, "the plugin has 3 processes already, as many as limits.processes allows"),
    ],
)
def test_more_than_the_limits_is_an_error_of_the_author(confined, what, little, much, words):
    """A run that takes too much fails with a sentence; the process, the server and other plugins go on."""
    pids = {name: confined.get(name)["pid"] for name in ("free", "tight")}
    answer = do(confined, "tight", what, much)
    assert answer["ok"] is False
    assert words in answer["result"]["message"]
    assert do(confined, "tight", what, little)["ok"] is True
    assert do(confined, "free", "tell")["ok"] is True
    assert {name: confined.get(name)["pid"] for name in pids} == pids


def test_workers_of_a_map_have_the_same_limits(confined):
    """An item that takes too much fails the map with the same sentence."""
    answer = do(confined, "tight", "mapped_allocation", 900)
    assert answer["ok"] is False
    assert "MemoryError: more memory than the process may take" in answer["result"]["message"]


def test_the_site_s_limit_holds_for_a_plugin_without_one(confined):
    """IOCMNG_PLUGIN_MEMORY and IOCMNG_PLUGIN_OPEN_FILES are what a plugin gets that asks for nothing."""
    assert "MemoryError" in do(confined, "free", "allocate", 1200)["result"]["message"]
    assert "Too many open files" in do(confined, "free", "open_files", 600)["result"]["message"]
    assert do(confined, "free", "allocate", 200)["ok"] is True


def test_a_task_that_takes_too_much_is_in_error(confined):
    """STATUS and MESSAGE say it; its PVs are served on."""
    assert confined.add("greedy", {"greedy.py": GREEDY_TASK}).status_code == 201
    wait_for(lambda: caget("CNF:GREEDY:STATUS", "-s") == "ERROR", "STATUS is ERROR", 40)
    assert (caget("CNF:GREEDY:MESSAGE") or "").startswith("MemoryError: more memory")
    assert confined.http.delete("/plugins/greedy").status_code == 200


def test_more_than_the_site_allows_is_refused(confined):
    """The sentence names the key, the site's limit and the setting; nothing of the plugin is left."""
    answer = confined.add("wants", probe("limits: {memory: 1Gi, open_files: 100}"))
    assert answer.status_code == 422, answer.text
    assert (
        "limits.memory: 1Gi is more than this server allows a plugin; ask for 256Mi or less, or have "
        "IOCMNG_PLUGIN_MEMORY raised" in answer.text
    )
    assert "open_files" not in answer.json()["detail"]
    assert "wants" not in confined.names()


@pytest.mark.parametrize("end", ["removed", "killed"])
def test_what_a_plugin_has_started_ends_with_it(confined, end):
    """Its children, and those that have left its process group and its session."""
    confined.add("parent", probe())
    pids = [*got(do(confined, "parent", "start", 2)), got(do(confined, "parent", "start_apart"))]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    if end == "killed":
        os.kill(confined.get("parent")["pid"], signal.SIGKILL)
    else:
        assert confined.http.delete("/plugins/parent").status_code == 200
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "all are gone", 40)
    confined.http.delete("/plugins/parent")
