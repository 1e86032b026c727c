"""Who may change something."""

from __future__ import annotations

import pytest
from api_fakes import FakeController, Serving
from api_objects import run_of

from iocmng.api.openapi import openapi_document

TOKEN = "correct horse µ"
GOOD = {"name": "new", "git_url": "https://git.example.org/p.git"}

DOCUMENT = openapi_document()
CHANGES = [
    (method.upper(), path.replace("{name}", "scan" if "/run" in path else "monitor").replace("{run_id}", "1"))
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method != "get"
]
READS = [
    path.replace("{name}", "scan" if "/jobs/" in path or "/run" in path else "monitor").replace("{run_id}", "1")
    for path, operations in DOCUMENT["paths"].items()
    if "get" in operations and "security" not in operations["get"]
]
WRONG = {
    "none": None,
    "empty": b"",
    "scheme only": b"Bearer",
    "empty credential": b"Bearer ",
    "wrong": b"Bearer wrong",
    "beginning": f"Bearer {TOKEN[:-1]}".encode(),
    "longer": f"Bearer {TOKEN}x".encode(),
    "other scheme": f"Basic {TOKEN}".encode(),
    "bare": TOKEN.encode(),
    "other encoding": f"Bearer {TOKEN}".encode("latin-1"),
    "not ASCII": b"Bearer \xff\xfe",
}


def headers(value: bytes | None) -> list[tuple[bytes, bytes]]:
    return [] if value is None else [(b"authorization", value)]


def test_the_table_has_all_changing_calls() -> None:
    """The tables below come from the documentation; these must be in them."""
    assert ("POST", "/api/v1/plugins") in CHANGES
    assert ("DELETE", "/api/v1/tasks/monitor") in CHANGES
    assert ("POST", "/api/v1/jobs/scan/run") in CHANGES
    assert ("PATCH", "/api/v1/jobs/monitor") in CHANGES
    assert ("POST", "/api/v1/apply") in CHANGES
    assert ("DELETE", "/api/v1/jobs/scan/runs/1") in CHANGES
    assert len(CHANGES) == 24


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_every_change_needs_the_token(
    serving: Serving, controller: FakeController, method: str, path: str
) -> None:
    """With a token set, no changing call passes without it; 401 says what is missing."""
    async with serving(controller, token=TOKEN) as client:
        response = await client.request(method, f"http://iocmng.localhost{path}", json=GOOD)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == "urn:iocmng:problem:unauthorized"
        assert controller.calls == []


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_credential_is_401(serving: Serving, controller: FakeController, value: bytes | None) -> None:
    """Nothing but the token itself passes, byte for byte; the answer does not repeat what was sent."""
    async with serving(controller, token=TOKEN) as client:
        response = await client.delete("/tasks/monitor", headers=headers(value))
        assert response.status_code == 401
        assert "horse" not in response.text
        assert controller.calls == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_passes(serving: Serving, controller: FakeController, scheme: str) -> None:
    """The right token changes things; the scheme's case does not matter."""
    async with serving(controller, token=TOKEN) as client:
        response = await client.delete("/tasks/monitor", headers=headers(f"{scheme} {TOKEN}".encode()))
        assert response.status_code == 200


@pytest.mark.parametrize("settings", [{"token": TOKEN}, {"host": "0.0.0.0"}])
@pytest.mark.parametrize("path", READS)
async def test_reads_are_free(
    serving: Serving, controller: FakeController, path: str, settings: dict[str, str]
) -> None:
    """Every GET is answered without a credential, and with a wrong one."""
    controller.kept_runs = [run_of("scan")]
    async with serving(controller, **settings) as client:
        as_list = [(b"accept", b"application/json")]  # of the events: the stream would not end
        assert (await client.get(f"http://iocmng.localhost{path}", headers=as_list)).status_code == 200
        wrong = await client.get(f"http://iocmng.localhost{path}", headers=as_list + headers(b"Bearer wrong"))
        assert wrong.status_code == 200


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"x-forwarded-for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x-real-ip": "127.0.0.1"},
        {"host": "localhost"},
        {"origin": "http://localhost"},
        {"authorization": "Bearer anything"},
        {"authorization": "Bearer "},
    ],
)
async def test_without_a_token_an_open_server_refuses_changes(
    serving: Serving, controller: FakeController, forged: dict[str, str]
) -> None:
    """A server that others can reach refuses, whatever headers say, and tells the ways to allow it."""
    async with serving(controller, host="0.0.0.0") as client:
        response = await client.delete("/tasks/monitor", headers=forged)
        assert response.status_code == 403
        assert response.json()["type"] == "urn:iocmng:problem:forbidden"
        for way in ("IOCMNG_TOKEN ", "IOCMNG_TOKENS_FILE", "IOCMNG_ALLOW_UNAUTHENTICATED", "127.0.0.1"):
            assert way in response.json()["detail"]
        assert controller.calls == []


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_every_change_is_refused_by_an_open_server(
    serving: Serving, controller: FakeController, method: str, path: str
) -> None:
    """No changing call is forgotten."""
    async with serving(controller, host="::") as client:
        response = await client.request(method, f"http://iocmng.localhost{path}", json=GOOD)
        assert response.status_code == 403
        assert controller.calls == []


@pytest.mark.parametrize(
    "settings",
    [{}, {"host": "127.0.0.1"}, {"host": "localhost"}, {"host": "0.0.0.0", "allow_unauthenticated": True}],
)
async def test_changes_pass_on_loopback_or_where_the_site_allows(
    serving: Serving, controller: FakeController, settings: dict[str, object]
) -> None:
    """Alone on its machine, or behind an ingress that authenticates, the server needs no token."""
    async with serving(controller, **settings) as client:
        assert (await client.delete("/tasks/monitor")).status_code == 200


@pytest.mark.parametrize("settings", [{"host": "127.0.0.1"}, {"allow_unauthenticated": True}])
async def test_a_token_counts_everywhere(
    serving: Serving, controller: FakeController, settings: dict[str, object]
) -> None:
    """Where a token is set it is asked for, on loopback too."""
    async with serving(controller, token=TOKEN, **settings) as client:
        assert (await client.delete("/tasks/monitor")).status_code == 401


async def test_an_empty_token_is_no_token(serving: Serving, controller: FakeController) -> None:
    """IOCMNG_TOKEN="" does not open the server to "Bearer "."""
    async with serving(controller, token="", host="0.0.0.0") as client:
        assert (await client.delete("/tasks/monitor", headers=headers(b"Bearer "))).status_code == 403


@pytest.mark.parametrize("content", [b"[" * 1000, b"{}", b"", b"\xff"])
@pytest.mark.parametrize("query", ["", "?wait=perhaps"])
async def test_the_caller_is_asked_before_the_call_is_read(
    serving: Serving, controller: FakeController, content: bytes, query: str
) -> None:
    """A stranger learns nothing about bodies and names: 401 comes before 422 and 404."""
    async with serving(controller, token=TOKEN) as client:
        assert (await client.post(f"/plugins{query}", content=content)).status_code == 401
        assert (await client.delete("/plugins/none")).status_code == 401


def test_the_documentation_names_the_token() -> None:
    """/docs has an Authorize button, and only changing calls and the audit carry the lock."""
    assert DOCUMENT["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert ("security" in operation) == (method != "get" or path == "/api/v1/audit")
