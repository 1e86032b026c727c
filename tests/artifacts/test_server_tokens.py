"""Tokens of a real server, from `iocmng token create` to a call, and a file of them that changes while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support import MINIMAL_TASK, Server, caget, free_port, wait_for

pytestmark = pytest.mark.thorough

PATIENCE = 60


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `iocmng`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IOCMNG_")}
    return subprocess.run(
        [sys.executable, "-m", "iocmng", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def create(file: Path, name: str, role: str, *more: str) -> str:
    """Make a token with the command; return it."""
    done = command("token", "create", "--name", name, "--role", role, "--file", str(file), *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_broken_tokens_file_ends_the_start(tmp_path: Path) -> None:
    """One sentence with the file and the entry, status 2, no traceback; nothing of the file is repeated."""
    file = tmp_path / "tokens.yaml"
    file.write_text("tokens: [{name: a, role: admin, hash: a-token-in-clear}]\n")
    place = {"IOCMNG_PLUGINS_DIR": str(tmp_path / "plugins"), "IOCMNG_PORT": str(free_port())}
    done = command("server", IOCMNG_TOKENS_FILE=str(file), **place)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}, entry 1: hash" in done.stderr
    assert "a-token-in-clear" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "plugins").exists()


@pytest.fixture(scope="module")
def tokens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's tokens are; an admin's and an operator's to begin with."""
    return tmp_path_factory.mktemp("tokens") / "tokens.yaml"


def test_tokens_from_the_command_to_the_call(tmp_path: Path, tokens_file: Path) -> None:
    """Roles count; a token is given, taken back and limited without a restart; the server survives a slip."""
    admin = create(tokens_file, "boss", "admin")
    operator = create(tokens_file, "shift", "operator")
    server = Server(
        tmp_path / "server",
        "TOK",
        IOCMNG_TOKENS_FILE=str(tokens_file),
        IOCMNG_HOST="127.0.0.1",
        IOCMNG_READ_TOKEN_REQUIRED="true",
    ).wait_until_ready()
    url = f"http://127.0.0.1:{server.port}"

    def run(token: str, *arguments: str) -> tuple[int, str]:
        done = command(*arguments, IOCMNG_URL=url, IOCMNG_TOKEN=token)
        return done.returncode, done.stderr

    def status(method: str, path: str, token: str) -> int:
        return httpx.request(method, url + path, headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code

    try:
        assert httpx.get(f"{url}/api/v1/plugins").status_code == 401
        assert httpx.get(f"{url}/docs").status_code == 401
        assert httpx.get(f"{url}/livez").status_code == 200
        server.repository("vac", {"m.py": MINIMAL_TASK})
        source = ("--git-url", str(server.repositories / "vac"))
        code, told = run(operator, "add", "vac-1", *source)
        assert (code, "needs the role admin" in told) == (1, True)
        assert run(admin, "add", "vac-1", *source)[0] == 0
        assert run(operator, "stop", "vac-1")[0] == 0
        wait_for(lambda: caget("TOK:VAC-1:STATUS") is not None, "the PVs are there", PATIENCE)

        limited = create(tokens_file, "vacuum", "admin", "--plugins", "vac-*")
        wait_for(lambda: status("GET", "/api/v1/plugins", limited) == 200, "the new token is taken", PATIENCE, 1.0)
        code, told = run(limited, "add", "pump", *source)
        assert (code, "'vac-*'" in told) == (1, True)
        assert run(limited, "add", "vac-2", *source)[0] == 0

        good = tokens_file.read_text()
        tokens_file.write_text("tokens: [")
        wait_for(lambda: _looked_at(server, tokens_file), "the server has seen the broken file", PATIENCE, 1.0)
        assert status("GET", "/api/v1/plugins", admin) == 200
        tokens_file.write_text(good.replace("name: shift", "name: nobody").replace("role: operator", "role: viewer"))
        wait_for(
            lambda: status("POST", "/api/v1/plugins/vac-1/start", operator) == 403,
            "the role has changed",
            PATIENCE,
            1.0,
        )
        tokens_file.write_text("tokens: []\n")
        wait_for(lambda: status("GET", "/api/v1/plugins", admin) == 401, "no token is taken any more", PATIENCE, 1.0)
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in server.plugin_processes()]
        secrets = [token.encode() for token in (admin, operator, limited)]
        assert not any(secret in text for secret in secrets for text in [*environments, server.log.read_bytes()])
    finally:
        server.stop()


def _looked_at(server: Server, file: Path) -> bool:
    """Make a call, so that the file is looked at; tell whether a log of the server's Ray tells of it."""
    httpx.get(f"http://127.0.0.1:{server.port}/api/v1/plugins", headers={"Authorization": "Bearer none"})
    logs = Path("/tmp/ray").glob("session_*/logs/worker-*.err")
    return any(str(file) in text and "still taken" in text for text in map(_text, logs))


def _text(log: Path) -> str:
    try:
        return log.read_text(errors="replace")
    except OSError:
        return ""


def test_the_start_tells_who_may_call(tmp_path: Path) -> None:
    """A server for everyone is warned of, on the terminal that it was started from."""
    server = Server(tmp_path, "OPEN", IOCMNG_ALLOW_UNAUTHENTICATED="true", IOCMNG_HOST="127.0.0.1").wait_until_ready()
    try:
        assert "IOCMNG_ALLOW_UNAUTHENTICATED" in server.log.read_text()
    finally:
        server.stop()
