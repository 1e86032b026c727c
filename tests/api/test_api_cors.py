"""Pages of other origins in a browser: off unless they are listed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_fakes import FakeController, Serving
from tokens import bearing

from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings

OURS = "https://dashboard.example.org"
PREFLIGHT = {
    "Origin": OURS,
    "Access-Control-Request-Method": "DELETE",
    "Access-Control-Request-Headers": "authorization,content-type",
}
LISTED: dict[str, Any] = {"cors_origins": f"{OURS}, http://localhost:3000", "token": "a token of this test"}


def allowed(response: httpx.Response) -> str | None:
    """Return the origin whose pages may read an answer."""
    return response.headers.get("access-control-allow-origin")


async def test_without_the_setting_no_page_may_read(serving: Serving, controller: FakeController) -> None:
    """No header of CORS in any answer, and no preflight succeeds."""
    async with serving(controller) as client:
        for response in (
            await client.get("/plugins", headers={"Origin": OURS}),
            await client.options("/plugins/monitor", headers=PREFLIGHT),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]
        assert response.status_code == 405


async def test_a_listed_origin_may_read_every_answer(serving: Serving, controller: FakeController) -> None:
    """Also those to errors, so that the page can tell what is wrong: 401, 404, 413, 422, 500."""
    controller.raises["restart"] = RuntimeError("a mistake")
    token = bearing(LISTED["token"])
    async with serving(controller, **LISTED) as client:
        for status, method, path, headers, content in (
            (200, "GET", "/plugins", {}, None),
            (404, "GET", "/plugins/none", {}, None),
            (401, "DELETE", "/plugins/monitor", {}, None),
            (422, "POST", "/plugins", token, b"["),
            (413, "POST", "/plugins", token, b"x" * 2_000_000),
            (500, "POST", "/plugins/monitor/restart", token, None),
        ):
            response = await client.request(method, path, headers={**headers, "Origin": OURS}, content=content)
            assert (response.status_code, allowed(response)) == (status, OURS)
            assert "Origin" in response.headers["vary"]
            assert "access-control-allow-credentials" not in response.headers


async def test_answers_of_closed_reads_may_be_read(serving: Serving, controller: FakeController) -> None:
    """The page has to learn that it needs a token; and a preflight carries none."""
    async with serving(controller, **LISTED, read_token_required=True) as client:
        response = await client.get("/plugins", headers={"Origin": OURS})
        assert (response.status_code, allowed(response)) == (401, OURS)
        assert (await client.options("/plugins", headers=PREFLIGHT)).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://dashboard.example.org.evil.example", "http://dashboard.example.org", "null"]
)
async def test_other_origins_may_not(serving: Serving, controller: FakeController, origin: str) -> None:
    """An origin is compared as a whole."""
    async with serving(controller, **LISTED) as client:
        assert allowed(await client.get("/plugins", headers={"Origin": origin})) is None
        response = await client.options("/plugins/monitor", headers={**PREFLIGHT, "Origin": origin})
        assert (response.status_code, allowed(response)) == (400, None)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_preflights_of_a_listed_origin(serving: Serving, controller: FakeController, method: str) -> None:
    """Every method of the API, with a token and JSON; nothing is done yet."""
    async with serving(controller, **LISTED) as client:
        response = await client.options(
            "/plugins/monitor", headers={**PREFLIGHT, "Access-Control-Request-Method": method}
        )
        assert (response.status_code, allowed(response)) == (200, OURS)
        assert method in response.headers["access-control-allow-methods"]
        assert "Authorization" in response.headers["access-control-allow-headers"]
        assert controller.calls == []


async def test_every_origin_where_nothing_is_told_without_a_token(serving: Serving, controller: FakeController) -> None:
    """'*' goes together with closed reads."""
    async with serving(controller, cors_origins="*", token="a token of this test", read_token_required=True) as client:
        response = await client.get("/plugins", headers={"Origin": "https://anywhere.example.org"})
        assert (response.status_code, allowed(response)) == (401, "*")


@pytest.mark.parametrize(
    ("origins", "words"),
    [
        ("dashboard.example.org", "no origin"),
        ("https://dashboard.example.org/", "no origin"),
        ("https://*.example.org", "no origin"),
        ("https://user@example.org", "no origin"),
        ("null", "no origin"),
        ("https://example.org:443", "own port"),
        ("http://example.org:80", "own port"),
        ("*", "IOCMNG_READ_TOKEN_REQUIRED"),
    ],
)
def test_an_origin_that_would_never_match_or_match_all_is_refused(origins: str, words: str) -> None:
    """At the start, with what to write."""
    with pytest.raises(InvalidRequest, match=words):
        load_settings(cors_origins=origins)


def test_origins_are_separated_by_commas_or_blanks() -> None:
    """And written in lower case, as browsers do."""
    assert load_settings(cors_origins="https://A.example.org, http://[::1]:3000  http://b").cors_origins == (
        "https://a.example.org",
        "http://[::1]:3000",
        "http://b",
    )


async def test_a_page_reads_what_our_answers_say_in_headers(serving: Serving, controller: FakeController) -> None:
    """Where a run is, when to try again, and the number of a request in the log."""
    async with serving(controller, **LISTED) as client:
        headers = (await client.get("/plugins", headers={"Origin": OURS})).headers["access-control-expose-headers"]
        assert {"Location", "Retry-After", "X-Trace-ID"} <= set(headers.split(", "))
