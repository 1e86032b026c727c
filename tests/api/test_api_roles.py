"""Which role each call needs, and which plugins a token is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_fakes import FakeController, Serving, plugin_object
from api_objects import run_of
from test_api_auth import CHANGES, DOCUMENT, GOOD, READS
from tokens import TOKENS, bearing, entry, of_all_roles, write_tokens

from iocmng.core.access import Role

OPERATOR = {
    *(("POST", f"/api/v1/{kind}/monitor/{call}") for kind in ("plugins", "tasks") for call in ("start", "stop")),
    *(("POST", f"/api/v1/{kind}/scan/run") for kind in ("plugins", "jobs")),
    *(("DELETE", f"/api/v1/{kind}/scan/runs/1") for kind in ("plugins", "jobs")),
}
"""What an operator may do. All other changes are the admin's; whoever adds a call decides here."""

ADMIN_READS = {"/api/v1/audit"}
"""What only an admin may read, also where reads are free."""

AS_LIST = {"Accept": "application/json"}  # of the events: the stream would not end

BODIES = {"/api/v1/apply": {"owner": "f", "plugins": [GOOD]}}


def needed(method: str, path: str) -> Role:
    """Return the role that a changing call needs."""
    return Role.OPERATOR if (method, path) in OPERATOR else Role.ADMIN


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    """A file with one token for each role."""
    return of_all_roles(tmp_path / "tokens.yaml")


def test_the_table_names_calls_that_there_are() -> None:
    """No entry is left over from a call of other days."""
    assert set(CHANGES) >= OPERATOR


def test_the_documentation_names_the_role_of_each_call() -> None:
    """x-iocmng-role is what the tables here hold against the calls."""
    for path, operations in DOCUMENT["paths"].items():
        filled = path.replace("{name}", "scan" if "/run" in path else "monitor").replace("{run_id}", "1")
        for method, operation in operations.items():
            role = (
                needed(method.upper(), filled)
                if method != "get"
                else Role.ADMIN
                if path in ADMIN_READS
                else Role.VIEWER
            )
            assert operation["x-iocmng-role"] == role.value, (method, path)


@pytest.mark.parametrize("role", Role)
async def test_every_change_by_every_role(
    serving: Serving, controller: FakeController, tokens_file: Path, role: Role
) -> None:
    """A role that is enough passes the guard; another one gets 403 with both roles, and nothing has happened."""
    async with serving(controller, tokens_file=tokens_file) as client:
        for method, path in CHANGES:
            controller.calls.clear()
            controller.kept_runs = [run_of("scan")]
            body = BODIES.get(path, {**GOOD, "name": "monitor"})
            response = await client.request(
                method, f"http://iocmng.localhost{path}", json=body, headers=bearing(TOKENS[role])
            )
            if role.includes(needed(method, path)):
                assert response.status_code not in (401, 403, 429), (method, path)
            else:
                assert response.status_code == 403, (method, path)
                assert f"needs the role {needed(method, path).value}" in response.json()["detail"]
                assert f"has the role {role.value}" in response.json()["detail"]
                assert controller.calls == []


@pytest.mark.parametrize("path", READS)
async def test_closed_reads_need_a_viewer(
    serving: Serving, controller: FakeController, tokens_file: Path, path: str
) -> None:
    """With IOCMNG_READ_TOKEN_REQUIRED every GET needs a token of any role; only what probes ask for is free."""
    controller.kept_runs = [run_of("scan")]
    async with serving(controller, tokens_file=tokens_file, read_token_required=True) as client:
        url = f"http://iocmng.localhost{path}"
        without = await client.get(url, headers=AS_LIST)
        if path.endswith(("/livez", "/readyz")):
            assert without.status_code == 200
        else:
            assert without.status_code == 401
            assert without.headers["www-authenticate"] == "Bearer"
            assert without.json()["type"] == "urn:iocmng:problem:unauthorized"
        for token in TOKENS.values():
            assert (await client.get(url, headers=AS_LIST | dict(bearing(token)))).status_code == 200


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/health", "/none", "/api/v1/none", "//livez", "/livez/", "/"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_closed_reads_close_everything_else_too(
    serving: Serving, controller: FakeController, tokens_file: Path, path: str, method: str
) -> None:
    """The documentation, the probe with numbers in it, and what there is not: 401 without a token."""
    async with serving(controller, tokens_file=tokens_file, read_token_required=True) as client:
        assert (await client.request(method, f"http://iocmng.localhost{path}")).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_stay_free(serving: Serving, controller: FakeController, tokens_file: Path, path: str) -> None:
    """What restarts processes has no token; these tell nothing but that the server answers."""
    async with serving(controller, tokens_file=tokens_file, read_token_required=True) as client:
        assert (await client.get(f"http://iocmng.localhost{path}")).status_code == 200
        assert (await client.get(path)).status_code == 200


async def test_the_stream_is_closed_too(serving: Serving, controller: FakeController, tokens_file: Path) -> None:
    """Events are a read."""
    async with serving(controller, tokens_file=tokens_file, read_token_required=True) as client:
        assert (await client.get("/events", headers={"Accept": "text/event-stream"})).status_code == 401


async def test_the_document_shows_closed_reads(serving: Serving, controller: FakeController, tokens_file: Path) -> None:
    """Where reads are closed, /docs puts the lock on them, and names 401."""
    async with serving(controller, tokens_file=tokens_file, read_token_required=True) as client:
        told = (await client.get("http://iocmng.localhost/openapi.json", headers=bearing(TOKENS[Role.VIEWER]))).json()
        for path, operations in told["paths"].items():
            for operation in operations.values():
                closed = not path.endswith(("/livez", "/readyz"))
                assert (bool(operation.get("security")), "401" in operation["responses"]) == (closed, closed), path


@pytest.mark.parametrize("path", ADMIN_READS)
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("role", Role)
async def test_what_only_an_admin_may_read(
    serving: Serving, controller: FakeController, tokens_file: Path, path: str, closed: bool, role: Role
) -> None:
    """It is never free, and other roles get 403."""
    async with serving(controller, tokens_file=tokens_file, read_token_required=closed) as client:
        url = f"http://iocmng.localhost{path}"
        assert (await client.get(url)).status_code == 401
        response = await client.get(url, headers=bearing(TOKENS[role]))
        assert response.status_code == (200 if role is Role.ADMIN else 403)


# --- patterns


@pytest.fixture
def limited(tmp_path: Path) -> Path:
    """A file with an admin and an operator for mon*."""
    return write_tokens(
        tmp_path / "tokens.yaml",
        entry("beam", Role.ADMIN, TOKENS[Role.ADMIN], "mon*"),
        entry("shift", Role.OPERATOR, TOKENS[Role.OPERATOR], "mon*"),
        entry("all", Role.ADMIN, "everything"),
    )


async def test_every_change_outside_of_the_pattern_is_refused(
    serving: Serving, controller: FakeController, limited: Path
) -> None:
    """Whatever the path or the body names: 403 that names the pattern, before anything has happened."""
    async with serving(controller, tokens_file=limited) as client:
        for method, path in CHANGES:
            other = path.replace("/monitor", "/pump").replace("/scan", "/pump")
            body = (
                {"owner": "f", "plugins": [{**GOOD, "name": "pump"}]}
                if path.endswith("/apply")
                else {**GOOD, "name": "pump"}
            )
            response = await client.request(
                method, f"http://iocmng.localhost{other}", json=body, headers=bearing(TOKENS[Role.ADMIN])
            )
            assert response.status_code == 403, (method, path)
            assert "'mon*'" in response.json()["detail"]
        assert controller.calls == []


async def test_every_change_inside_of_the_pattern_passes(
    serving: Serving, controller: FakeController, limited: Path
) -> None:
    """The same calls about a plugin of the pattern are not refused."""
    async with serving(controller, tokens_file=limited) as client:
        for method, path in CHANGES:
            own = path.replace("/scan", "/monitor")
            named = {**GOOD, "name": "monitor-2"}
            body = {"owner": "f", "plugins": [named]} if path.endswith("/apply") else named
            response = await client.request(
                method, f"http://iocmng.localhost{own}", json=body, headers=bearing(TOKENS[Role.ADMIN])
            )
            assert response.status_code not in (401, 403, 429), (method, path)


async def test_apply_may_not_remove_a_plugin_outside_of_the_pattern(
    serving: Serving, controller: FakeController, limited: Path
) -> None:
    """What the file no longer names is concerned as well."""
    controller.put(plugin_object("pump", owner="f"))
    controller.put(plugin_object("valve", owner="another"))
    async with serving(controller, tokens_file=limited) as client:
        body = {"owner": "f", "plugins": [{**GOOD, "name": "monitor-2"}]}
        refused = await client.post("/apply", json=body, headers=bearing(TOKENS[Role.ADMIN]))
        assert refused.status_code == 403
        assert "'pump'" in refused.json()["detail"]
        assert "valve" not in refused.json()["detail"]
        assert controller.calls == []
        assert (await client.post("/apply", json=body, headers=bearing("everything"))).status_code == 200


async def test_an_apply_that_names_nothing_is_not_for_a_pattern(
    serving: Serving, controller: FakeController, limited: Path
) -> None:
    """It concerns none of its plugins."""
    async with serving(controller, tokens_file=limited) as client:
        body = {"owner": "f", "plugins": []}
        assert (await client.post("/apply", json=body, headers=bearing(TOKENS[Role.ADMIN]))).status_code == 403


async def test_reads_know_no_pattern(serving: Serving, controller: FakeController, limited: Path) -> None:
    """Everybody who may read may read everything."""
    async with serving(controller, tokens_file=limited, read_token_required=True) as client:
        assert (await client.get("/jobs/scan", headers=bearing(TOKENS[Role.OPERATOR]))).status_code == 200


async def test_the_role_is_asked_for_before_the_body_is_read(
    serving: Serving, controller: FakeController, limited: Path
) -> None:
    """An operator learns nothing from an add."""
    async with serving(controller, tokens_file=limited) as client:
        response = await client.post("/plugins", content=b"[", headers=bearing(TOKENS[Role.OPERATOR]))
        assert response.status_code == 403
