"""A server without a token is not for pages in a browser, and is for everything else on its machine."""

from __future__ import annotations

import pytest
from api_fakes import FakeController, Serving

GOOD = {"name": "new", "git_url": "https://git.example.org/p.git"}

HERE = [
    "localhost",
    "localhost:8080",
    "LOCALHOST:8080",
    "localhost.:8080",
    "iocs.localhost",
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.8.9.10:1",
    "[::1]:8080",
]
ELSEWHERE = [
    "iocs.example.org",
    "iocs.example.org:8080",
    "127.0.0.1.example.org",
    "localhost.example.org:8080",
    "example.org:127",
    "evil@example.org",
    "localhost@example.org",
    "0.0.0.0:8080",
    "192.0.2.7:8080",
    "[::]:8080",
    "[::1",
    "2130706433",
    "notlocalhost",
    "",
]


@pytest.mark.parametrize("host", HERE)
async def test_this_machine_may_do_everything(serving: Serving, controller: FakeController, host: str) -> None:
    """Whatever name of this machine a client takes, reads and changes pass."""
    async with serving(controller) as client:
        assert (await client.get("/plugins", headers={"Host": host})).status_code == 200
        assert (await client.post("/plugins", json=GOOD, headers={"Host": host})).status_code == 201


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_another_name_is_refused(serving: Serving, controller: FakeController, host: str) -> None:
    """A name that was made to point here (DNS rebinding) reads and changes nothing; the text says what helps."""
    async with serving(controller) as client:
        for method, path in [("GET", "/plugins"), ("POST", "/plugins"), ("GET", "http://localhost/docs")]:
            response = await client.request(method, path, headers={"Host": host})
            assert response.status_code == 403
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["type"] == "urn:iocmng:problem:forbidden"
            assert "IOCMNG_TOKEN" in response.json()["detail"]
        assert controller.calls == []


async def test_two_hosts_must_both_be_here(serving: Serving, controller: FakeController) -> None:
    """A second Host header does not hide the first one."""
    async with serving(controller) as client:
        for hosts in (["localhost", "example.org"], ["example.org", "localhost"]):
            response = await client.get("/plugins", headers=[("Host", host) for host in hosts])
            assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "http://localhost.example.org"},
        {"Origin": "null"},
        {"Origin": "https://evil.example.org", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
async def test_a_page_of_another_site_changes_nothing(
    serving: Serving, controller: FakeController, headers: dict[str, str], content_type: str
) -> None:
    """What a browser sends for a page of another site is refused before it is read, whatever it says it is."""
    async with serving(controller) as client:
        for method, path in [("POST", "/plugins"), ("DELETE", "/plugins/monitor"), ("PATCH", "/plugins/monitor")]:
            sent = headers | {"Content-Type": content_type}
            response = await client.request(method, path, content=b'{"name": "new"}', headers=sent)
            assert response.status_code == 403
            assert "IOCMNG_TOKEN" in response.json()["detail"]
        assert controller.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://[::1]:8080"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_pages_of_this_machine_may(serving: Serving, controller: FakeController, headers: dict[str, str]) -> None:
    """The documentation at /docs, and a dashboard that this machine serves, may change something."""
    async with serving(controller) as client:
        assert (await client.post("/plugins", json=GOOD, headers=headers)).status_code == 201


async def test_a_link_from_another_site_may_be_followed(serving: Serving, controller: FakeController) -> None:
    """Reading is what a link does; the page it comes from cannot see the answer."""
    async with serving(controller) as client:
        assert (await client.get("/plugins", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200


@pytest.mark.parametrize(
    "settings",
    [{"token": "secret"}, {"allow_unauthenticated": True}, {"host": "0.0.0.0"}, {"token": "s", "host": "127.0.0.1"}],
)
async def test_a_server_that_asks_is_called_by_any_name(
    serving: Serving, controller: FakeController, settings: dict[str, str]
) -> None:
    """Where a credential is asked for, by the server or by what stands before it, the name does not matter."""
    async with serving(controller, **settings) as client:
        assert (await client.get("/plugins", headers={"Host": "iocs.example.org"})).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("https://dash.example.org", 201), ("https://dash.example.com", 403)])
async def test_pages_of_listed_origins_may_ask(
    serving: Serving, controller: FakeController, origin: str, status: int
) -> None:
    """Who lists an origin wants its pages to call."""
    async with serving(controller, cors_origins="https://dash.example.org") as client:
        headers = {"Host": "localhost", "Origin": origin, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/plugins", json=GOOD, headers=headers)).status_code == status
