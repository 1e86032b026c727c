"""JWTs of an issuer as tokens, with a real server of keys and real signatures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from api_fakes import FakeController, Serving
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from issuer import AUDIENCE, Issuer, rsa_key, serving_keys
from test_api_tokens_file import Clock
from tokens import bearing

from iocmng.api.guard import Guard
from iocmng.api.oidc_keys import FRESH, REFETCH, RETRY, STALE
from iocmng.core.access import Principal, Role
from iocmng.errors import Forbidden, InvalidRequest, ServerUnavailable, TooManyTries, Unauthorized
from iocmng.settings import Settings, load_settings

ROLES = "ops=operator,beamline-admins=admin,guests=viewer"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that runs."""
    with serving_keys() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """A time that stands still."""
    return Clock()


def settings(issuer: Issuer, **more: Any) -> Settings:
    """Return the settings of a server that takes its tokens."""
    return load_settings(**{"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_roles": ROLES} | more)


@pytest.fixture
def guard(issuer: Issuer, clock: Clock) -> Guard:
    """A guard that takes its tokens, and one of its own."""
    return Guard(settings(issuer, token="a static token"), clock)


def part(told: dict[str, Any]) -> bytes:
    """Return a part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=")


async def refused(guard: Guard, token: str, kind: type[Exception] = Unauthorized) -> str:
    """Return the sentence with which a token is refused."""
    with pytest.raises(kind) as caught:
        await guard.who(token, "-")
    assert token not in str(caught.value)
    return str(caught.value)


NOT_TAKEN = "does not take this token"


async def test_a_token_of_the_issuer_is_taken(guard: Guard, issuer: Issuer) -> None:
    """Its name and its role come from its claims; static tokens are taken beside it."""
    assert await guard.who(issuer.token(), "-") == Principal("oidc:alice", Role.ADMIN)
    assert await guard.who("a static token", "-") == Principal("token", Role.ADMIN)
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        ("PS256", rsa_key),
        ("ES256", lambda: ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate),
    ],
)
async def test_other_kinds_of_keys(guard: Guard, issuer: Issuer, algorithm: str, make: Any) -> None:
    """RSA, elliptic curves, Edwards curves."""
    issuer.keys["other"] = (algorithm, make())
    assert (await guard.who(issuer.token("other"), "-")).role is Role.ADMIN


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": 1_000_000_000}, "has expired"),
        ({"exp": None}, "lacks the claim 'exp'"),
        ({"nbf": 9_000_000_000, "exp": 9_000_000_001}, "does not hold yet"),
        ({"iss": "https://another.example.org"}, "another issuer"),
        ({"iss": None}, "lacks the claim 'iss'"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "lacks the claim 'aud'"),
    ],
)
async def test_what_the_issuer_signed_and_does_not_hold_here(
    guard: Guard, issuer: Issuer, changes: dict[str, Any], words: str
) -> None:
    """401 that says what is wrong; it is no try of a stranger, so it is not counted."""
    for _ in range(20):
        assert words in await refused(guard, issuer.token(**changes))


async def test_what_the_issuer_has_not_signed(guard: Guard, issuer: Issuer) -> None:
    """Another key under the issuer's name for it, a changed claim, no signature: as any wrong token."""
    good = issuer.token()
    head, _, signature = good.split(".")
    changed = f"{head}.{part(issuer.claims(roles=['beamline-admins', 'x'])).decode()}.{signature}"
    for token in (
        issuer.token(signed_by=rsa_key()),
        changed,
        f"{good[:-6]}AAAAAA",
        f"{head}..",
        "a.b.c",
        "none.of.this",
        "é.b.c",
    ):
        assert NOT_TAKEN in await refused(guard, token)


async def test_no_other_algorithm_is_taken(guard: Guard, issuer: Issuer) -> None:
    """`none`, and a shared secret made of the public key that everybody knows; nothing is fetched for them."""
    unsigned = jwt.encode(issuer.claims(), None, "none", headers={"kid": "first"})
    signed = part({"alg": "HS256", "typ": "JWT", "kid": "first"}) + b"." + part(issuer.claims())
    code = hmac.new(issuer.pem(), signed, hashlib.sha256).digest()
    confused = (signed + b"." + base64.urlsafe_b64encode(code).rstrip(b"=")).decode()
    for token in (unsigned, confused):
        assert NOT_TAKEN in await refused(guard, token)
    assert issuer.asked == []
    await guard.who(issuer.token(), "-")
    for token in (unsigned, confused):
        assert NOT_TAKEN in await refused(guard, token)


async def test_a_key_for_another_algorithm(guard: Guard, issuer: Issuer) -> None:
    """The key says how it signs, not the token."""
    token = jwt.encode(issuer.claims(), issuer.keys["first"][1], "RS512", headers={"kid": "first"})
    assert NOT_TAKEN in await refused(guard, token)


async def test_wrong_ones_are_counted(guard: Guard, issuer: Issuer) -> None:
    """As wrong tokens of any kind; a right one is still taken."""
    forged = issuer.token(signed_by=rsa_key())
    for _ in range(10):
        await refused(guard, forged)
    await refused(guard, forged, TooManyTries)
    assert (await guard.who(issuer.token(), "-")).role is Role.ADMIN


@pytest.mark.parametrize(
    ("claim", "changes", "role"),
    [
        ("roles", {"roles": ["guests", "ops", "else"]}, Role.OPERATOR),
        ("roles", {"roles": "guests"}, Role.VIEWER),
        ("roles", {"roles": "guests ops"}, Role.OPERATOR),
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}, Role.OPERATOR),
        ("https://example.org/roles", {"https://example.org/roles": ["ops"]}, Role.OPERATOR),
        ("roles", {"roles": ["else"]}, None),
        ("roles", {"roles": None}, None),
        ("roles", {"roles": {"ops": 1}}, None),
        ("roles", {"roles": 5}, None),
        ("roles", {"roles": [["ops"], 5]}, None),
        ("roles.deep", {"roles": ["ops"]}, None),
    ],
)
async def test_the_role_comes_from_a_claim(
    issuer: Issuer, claim: str, changes: dict[str, Any], role: Role | None
) -> None:
    """The highest one of all values; without any 403, which names the settings."""
    guard = Guard(settings(issuer, oidc_role_claim=claim))
    if role is not None:
        assert (await guard.who(issuer.token(**changes), "-")).role is role
    else:
        assert "IOCMNG_OIDC_ROLES" in await refused(guard, issuer.token(**changes), Forbidden)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "oidc:alice"),
        ({"preferred_username": None}, "oidc:0815"),
        ({"preferred_username": None, "sub": None}, "oidc:unnamed"),
        ({"preferred_username": "a\nb\x1b" + "x" * 100}, "oidc:a?b?" + "x" * 60),
    ],
)
async def test_the_name_comes_from_the_claims(guard: Guard, issuer: Issuer, changes: dict[str, Any], name: str) -> None:
    """It is marked, one line, and not too long: it stands in logs."""
    assert (await guard.who(issuer.token(**changes), "-")).name == name


# --- the keys


async def test_a_new_key_is_fetched(guard: Guard, issuer: Issuer, clock: Clock) -> None:
    """An issuer that changes its key; but names that anybody invents make no more than a fetch in 30 s."""
    await guard.who(issuer.token(), "-")
    issuer.keys["second"] = ("RS256", rsa_key())
    before = len(issuer.asked)
    for _ in range(5):
        await refused(guard, issuer.token("second"))
    assert len(issuer.asked) == before
    clock.now += REFETCH
    assert (await guard.who(issuer.token("second"), "-")).role is Role.ADMIN
    assert issuer.asked[before:] == ["/.well-known/openid-configuration", "/keys"]


async def test_a_key_that_was_taken_back_is_forgotten(guard: Guard, issuer: Issuer, clock: Clock) -> None:
    """Ten minutes later at the latest."""
    old = issuer.token()
    await guard.who(old, "-")
    issuer.keys = {"second": ("RS256", rsa_key())}
    clock.now += FRESH
    await refused(guard, old)


async def test_while_the_issuer_is_down(guard: Guard, issuer: Issuer, clock: Clock) -> None:
    """503 for JWTs, other tokens are taken; when it is back, so are JWTs."""
    issuer.down = True
    for _ in range(3):
        assert "keys cannot be fetched" in await refused(guard, issuer.token(), ServerUnavailable)
    assert len(issuer.asked) == 1
    assert (await guard.who("a static token", "-")).role is Role.ADMIN
    assert NOT_TAKEN in await refused(guard, "a wrong token")
    issuer.down = False
    clock.now += RETRY
    assert (await guard.who(issuer.token(), "-")).role is Role.ADMIN


async def test_known_keys_last_while_the_issuer_is_down(guard: Guard, issuer: Issuer, clock: Clock) -> None:
    """A restart of the issuer is not noticed; after an hour its keys no longer count."""
    token = issuer.token()
    await guard.who(token, "-")
    issuer.down = True
    clock.now += FRESH
    assert (await guard.who(token, "-")).role is Role.ADMIN
    clock.now += STALE
    await refused(guard, token, ServerUnavailable)


async def test_a_slow_issuer_holds_up_nobody_else(guard: Guard, issuer: Issuer) -> None:
    """Keys are fetched in a thread, once for all who wait; other callers are answered meanwhile."""
    issuer.gate.clear()
    waiting = [asyncio.create_task(guard.who(issuer.token(), "-")) for _ in range(5)]
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(issuer.fetching.wait, 30)
        assert (await guard.who("a static token", "-")).role is Role.ADMIN
        assert not any(task.done() for task in waiting)
        issuer.gate.set()
        assert {principal.name for principal in await asyncio.gather(*waiting)} == {"oidc:alice"}
    assert issuer.asked.count("/keys") == 1


async def test_keys_at_a_place_of_their_own(issuer: Issuer) -> None:
    """IOCMNG_OIDC_JWKS_URL: the issuer is not asked for anything else."""
    guard = Guard(settings(issuer, oidc_jwks_url=f"{issuer.url}/elsewhere"))
    await guard.who(issuer.token(), "-")
    assert issuer.asked == ["/elsewhere"]


async def test_a_description_of_another_issuer(guard: Guard, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """Its keys are not used; the log says what to compare."""
    issuer.described_as = "https://another.example.org"
    await refused(guard, issuer.token(), ServerUnavailable)
    assert "another issuer" in caplog.text
    assert issuer.asked == ["/.well-known/openid-configuration"]


# --- over HTTP, and the settings


async def test_over_http(
    serving: Serving, controller: FakeController, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole call: the role counts, and no log line holds the token."""
    options = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_roles": ROLES, "read_token_required": True}
    with caplog.at_level(logging.DEBUG):
        async with serving(controller, **options) as client:
            operator = bearing(issuer.token(roles=["ops"]))
            assert (await client.get("/plugins", headers=operator)).status_code == 200
            assert (await client.post("/tasks/monitor/stop", headers=operator)).status_code == 200
            refusal = await client.delete("/tasks/monitor", headers=operator)
            assert refusal.status_code == 403
            assert "'oidc:alice' has the role operator" in refusal.json()["detail"]
            assert (await client.get("/plugins", headers=bearing(issuer.token(roles=[])))).status_code == 403
            issuer.down = True
    assert operator["Authorization"].partition(" ")[2] not in caplog.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"oidc_issuer": "https://id.example.org"}, "IOCMNG_OIDC_AUDIENCE and IOCMNG_OIDC_ROLES"),
        ({"oidc_issuer": "https://id.example.org", "oidc_audience": "a"}, "IOCMNG_OIDC_ROLES"),
        ({"oidc_issuer": "http://id.example.org"}, "https://"),
        ({"oidc_issuer": "file:///etc/passwd"}, "https://"),
        ({"oidc_jwks_url": "http://id.example.org/keys"}, "https://"),
        ({"oidc_roles": "ops"}, "VALUE=ROLE"),
        ({"oidc_roles": "=admin"}, "VALUE=ROLE"),
        ({"oidc_roles": "ops=boss"}, "'viewer', 'operator' or 'admin'"),
        ({"read_token_required": True}, "IOCMNG_TOKENS_FILE"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, Any], words: str) -> None:
    """At the start, with the name of what is missing."""
    with pytest.raises(InvalidRequest, match=words):
        load_settings(**given)


def test_roles_may_stand_in_the_settings_file_as_a_mapping() -> None:
    """As YAML has it; a value may hold `=`, as names of groups in LDAP do."""
    assert load_settings(oidc_roles={"ops": "operator"}).oidc_roles == {"ops": Role.OPERATOR}
    assert load_settings(oidc_roles="cn=ops=operator").oidc_roles == {"cn=ops": Role.OPERATOR}


def test_the_library_is_imported_only_where_an_issuer_is_set() -> None:
    """It is an extra: a server without it starts, and one that needs it says what to install."""
    code = """
import sys
sys.modules["jwt"] = None
from iocmng.api.guard import check_access
from iocmng.errors import InvalidRequest
from iocmng.settings import Settings
import iocmng.api
check_access(Settings())
try:
    check_access(Settings(oidc_issuer="https://id.example.org", oidc_audience="a", oidc_roles="a=admin"))
except InvalidRequest as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "iocmng[oidc]" in done.stdout
