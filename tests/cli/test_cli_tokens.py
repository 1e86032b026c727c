"""`iocmng token`, and how the other commands fare where tokens are asked for."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from api_fakes import FakeController, plugin_object
from served_api import Command, ServedApi, served
from support import wait_for
from tokens import TOKENS, entry, of_all_roles, write_tokens

from iocmng.api.failed_tries import BY_ADDRESS
from iocmng.api.token_book import TokenBook, read_tokens_file
from iocmng.cli.tokens import append_entry
from iocmng.core.access import Principal, Role

# --- token create


def test_a_token_is_printed_once_with_its_entry(iocmng: Command, tmp_path: Path) -> None:
    """First the token, then what belongs into the file; together they are taken."""
    status, out, err = iocmng("token", "create", "--name", "alice", "--role", "operator", "--plugins", "vac-*")
    assert status == 0
    token, _, text = out.partition("\n")
    assert token.startswith("iocmng_")
    assert len(token) == len("iocmng_") + 43  # 256 bits
    assert token not in text + err
    (tmp_path / "f").write_text(text)
    assert TokenBook(None, tmp_path / "f").find(token.encode()) == Principal("alice", Role.OPERATOR, "vac-*")


def test_a_token_is_put_into_a_file(iocmng: Command, tmp_path: Path) -> None:
    """The answer is the token alone; a new file is its owner's alone, and the next entry joins it."""
    file = tmp_path / "tokens.yaml"
    tokens = {}
    for name in ("alice", "bob"):
        status, out, err = iocmng("token", "create", "--name", name, "--role", "viewer", "--file", str(file))
        assert (status, out.count("\n")) == (0, 1)
        assert str(file) in err
        tokens[name] = out.strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    book = TokenBook(None, file)
    assert {name: book.find(token.encode()) for name, token in tokens.items()} == {
        name: Principal(name, Role.VIEWER) for name in tokens
    }
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.yaml"]
    assert not any(token in file.read_text() for token in tokens.values())


def test_json_has_token_and_entry(iocmng: Command, tmp_path: Path) -> None:
    """One object, and nothing else."""
    arguments = ["token", "create", "--name", "a", "--role", "admin", "--expires", "2099-01-31", "--json"]
    status, out, err = iocmng(*arguments)
    told = json.loads(out)
    assert (status, err, told["file"]) == (0, "", None)
    assert told["entry"].keys() == {"name", "role", "hash", "expires"}
    told = json.loads(iocmng(*arguments, "--file", str(tmp_path / "f"))[1])
    assert told["file"] == str(tmp_path / "f")
    assert yaml.safe_load((tmp_path / "f").read_text()) == {"tokens": [told["entry"]]}


def test_mode_comments_and_links_of_a_file_stay(iocmng: Command, tmp_path: Path) -> None:
    """The server's group may go on reading it, and a link goes on leading to it."""
    file = write_tokens(tmp_path / "real.yaml", entry("a", Role.ADMIN, "token"))
    file.write_text("# who is who\n" + file.read_text())
    file.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    assert iocmng("token", "create", "--name", "b", "--role", "admin", "--file", str(tmp_path / "link.yaml"))[0] == 0
    assert (tmp_path / "link.yaml").is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.read_text().startswith("# who is who\n")
    assert len(read_tokens_file(file)) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "a", "--role", "admin"], "'a' already"),
        (["--name", "a b", "--role", "admin"], "name: use"),
        (["--name", "b", "--role", "boss"], "boss"),
        (["--name", "b", "--role", "admin", "--plugins", "a b"], "plugins: use"),
        (["--name", "b", "--role", "admin", "--expires", "soon"], "expires:"),
        (["--role", "admin"], "--name"),
    ],
)
def test_what_does_not_fit_is_status_2(iocmng: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    """The file stays as it was, and no token is shown that nobody would take."""
    file = write_tokens(tmp_path / "tokens.yaml", entry("a", Role.ADMIN, "token"))
    before = file.read_bytes()
    status, out, err = iocmng("token", "create", *arguments, "--file", str(file))
    assert (status, out) == (2, "")
    assert words in err
    assert file.read_bytes() == before


def test_a_file_that_cannot_be_written_is_told(iocmng: Command, tmp_path: Path) -> None:
    """One sentence, and no token."""
    for place in (tmp_path / "no" / "such" / "directory", tmp_path):
        status, out, err = iocmng("token", "create", "--name", "a", "--role", "admin", "--file", str(place))
        assert (status, out) == (2, "")
        assert str(place) in err


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Each entry is there in the end."""
    file = tmp_path / "tokens.yaml"
    writers = [
        threading.Thread(target=append_entry, args=(file, entry(f"n{number}", Role.VIEWER, f"t{number}")))
        for number in range(20)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert len(read_tokens_file(file)) == 20


# --- the other commands


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedApi]:
    """A server that asks everybody for a token; IOCMNG_URL names it."""
    controller = FakeController(plugin_object("monitor", "task"), plugin_object("scan", "job", mode=None))
    file = of_all_roles(tmp_path / "tokens.yaml")
    with served(controller, tokens_file=file, read_token_required=True) as api:
        monkeypatch.setenv("IOCMNG_URL", api.url)
        yield api


def test_every_refusal_is_a_sentence_and_status_1(
    closed: ServedApi, iocmng: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401, 403 and 429 say what to do; --json prints the problem document."""
    status, out, err = iocmng("list")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "needs a token" in err
    monkeypatch.setenv("IOCMNG_TOKEN", TOKENS[Role.VIEWER].replace(" ", "_"))
    status, _, err = iocmng("list")
    assert (status, "does not take this token" in err) == (1, True)
    for _ in range(BY_ADDRESS - 1):
        assert iocmng("list")[0] == 1
    status, out, err = iocmng("list", "--json")
    assert (status, "too many calls with wrong credentials" in err) == (1, True)
    assert json.loads(out)["type"] == "urn:iocmng:problem:too-many-tries"


def test_a_token_of_each_role(closed: ServedApi, iocmng: Command, tmp_path: Path) -> None:
    """--token-file and IOCMNG_TOKEN carry it; what the role may not do is told with both roles."""
    tokens = {role: f"token-{role.value}" for role in Role}
    write_tokens(tmp_path / "tokens.yaml", *(entry(role.value, role, token) for role, token in tokens.items()))

    def run(role: Role, *command: str) -> tuple[int, str]:
        (tmp_path / "mine").write_text(f"{tokens[role]}\n")
        status, _, err = iocmng(*command, "--token-file", str(tmp_path / "mine"))
        return status, err

    wait_for(lambda: run(Role.ADMIN, "list")[0] == 0, "the server has read its file again", 30)
    assert run(Role.VIEWER, "list") == (0, "")
    status, err = run(Role.VIEWER, "stop", "monitor")
    assert (status, "needs the role operator" in err, "has the role viewer" in err) == (1, True, True)
    assert run(Role.OPERATOR, "stop", "monitor") == (0, "")
    status, err = run(Role.OPERATOR, "remove", "monitor")
    assert (status, "needs the role admin" in err) == (1, True)
    assert run(Role.ADMIN, "remove", "monitor") == (0, "")


def test_completion_sends_the_token(tmp_path: Path) -> None:
    """Names are completed where reads are closed, too."""
    controller = FakeController(plugin_object("monitor", "task"))
    file = write_tokens(tmp_path / "tokens.yaml", entry("a", Role.VIEWER, "a-token"))
    with served(controller, tokens_file=file, read_token_required=True) as api:
        for token, found in (("a-token", ["monitor"]), ("none", [])):
            environment = {
                "IOCMNG_URL": api.url,
                "IOCMNG_TOKEN": token,
                "_IOCMNG_COMPLETE": "complete_bash",
                "COMP_WORDS": "iocmng get ",
                "COMP_CWORD": "2",
            }
            done = subprocess.run(
                [str(Path(sys.executable).with_name("iocmng"))],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.stdout.split() == found
