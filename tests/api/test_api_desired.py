"""Rollback, PATCH and apply: what changes the desired state of what is there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from api_fakes import FakeController, Serving

from iocmng.api.change_schemas import ApplyAnswer, ApplyProblem
from iocmng.api.schemas import DoneWithChecks
from iocmng.api.snapshot import FollowTimes
from iocmng.core.builtin_pvs import Kind
from iocmng.core.state import Applied
from iocmng.errors import (
    CheckFailure,
    IocmngError,
    PluginRejected,
    SourceUnavailable,
    StateUnavailable,
    TimedOut,
    WrongState,
)

PLUGINS = [("plugins/monitor", None), ("tasks/monitor", Kind.TASK), ("plugins/scan", None), ("jobs/scan", Kind.JOB)]
ENTRY = {"name": "new", "git_url": "https://git.example.org/p.git"}
APPLY: dict[str, Any] = {"owner": "/etc/plugins.yaml", "plugins": [ENTRY, ENTRY | {"name": "other"}]}


def sentences(response: httpx.Response) -> list[str]:
    """Return the mistakes that a 422 tells of."""
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    return [error["message"] for error in response.json()["validation"]["errors"]]


@pytest.mark.parametrize(("path", "kind"), PLUGINS)
async def test_rollback(client: httpx.AsyncClient, controller: FakeController, path: str, kind: Kind | None) -> None:
    """It answers as a restart does, with the plugin as it is then; the kind is passed on."""
    response = await client.post(f"/{path}/rollback", json={"generation": 3})
    body, (root, name) = response.json(), path.split("/")
    assert response.status_code == 200
    assert (body["ok"], body["message"]) == (True, f"{root[:-1]} {name!r} rolled back")
    assert body["plugin"]["commit"] == "an earlier one"
    DoneWithChecks.model_validate(body)
    assert controller.calls == [("rollback", name, kind, 3)]


@pytest.mark.parametrize("content", [b"", b" ", b"{}", b'{"generation": null}'])
async def test_a_rollback_without_a_number(
    client: httpx.AsyncClient, controller: FakeController, content: bytes
) -> None:
    """The Controller chooses."""
    assert (await client.post("/tasks/monitor/rollback", content=content)).status_code == 200
    assert controller.calls == [("rollback", "monitor", Kind.TASK, None)]


@pytest.mark.parametrize(
    "content",
    [
        b'{"generation": 0}',
        b'{"generation": -1}',
        b'{"generation": 1.5}',
        b'{"generation": "last"}',
        b'{"generation": 99999999999999999999}',
        b'{"generaton": 1}',
        b"[1]",
        b"not json",
    ],
)
async def test_a_bad_rollback_is_422(client: httpx.AsyncClient, controller: FakeController, content: bytes) -> None:
    """A number that no generation can have never reaches the Controller."""
    assert sentences(await client.post("/plugins/monitor/rollback", content=content))
    assert controller.calls == []


@pytest.mark.parametrize("media", ["application/json", "application/merge-patch+json", "text/plain"])
@pytest.mark.parametrize(("path", "kind"), PLUGINS)
async def test_patch(
    client: httpx.AsyncClient, controller: FakeController, path: str, kind: Kind | None, media: str
) -> None:
    """It answers as a restart does; what is absent, null and given can be told apart behind it."""
    patch = b'{"parameters": {"gain": 2, "old": null}, "commit": null}'
    response = await client.patch(f"/{path}", content=patch, headers={"Content-Type": media})
    body, (root, name) = response.json(), path.split("/")
    assert response.status_code == 200
    assert (body["ok"], body["message"]) == (True, f"{root[:-1]} {name!r} changed")
    assert body["plugin"]["parameters"] == {"gain": 2, "old": None}
    DoneWithChecks.model_validate(body)
    ((call, called_name, called_kind, change),) = controller.calls
    assert (call, called_name, called_kind) == ("change", name, kind)
    assert change.model_fields_set == {"parameters", "commit"}


@pytest.mark.parametrize("content", [b"", b"{}", b" { } "])
async def test_an_empty_patch_is_422(client: httpx.AsyncClient, controller: FakeController, content: bytes) -> None:
    """It says which keys there are."""
    (sentence,) = sentences(await client.patch("/plugins/monitor", content=content))
    assert "changes nothing" in sentence
    for key in ("branch", "commit", "pat", "parameters", "auto_start_on_boot", "autostart_order", "schedule"):
        assert key in sentence
    assert controller.calls == []


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"brnch": "main"}, "unknown key 'brnch'; did you mean 'branch'?"),
        ({"name": "other"}, "unknown key 'name'"),
        ({"parameters": 5}, "parameters: must be a JSON object"),
        ({"autostart_order": 2**40}, "autostart_order: "),
        ({"schedule": "0 25 * * *"}, "schedule.cron: the hour of this cron expression is wrong"),
        ({"schedule": {"cron": "0 5 * * *", "timezone": "Europe/Roma"}}, "schedule.timezone: there is no time zone"),
        ({"schedule": {"timezone": "Europe/Rome"}}, "'schedule.cron' is missing"),
        ({"schedule": {"cron": "0 5 * * *", "zone": "UTC"}}, "unknown key 'schedule.zone'"),
        ({"schedule": 5}, "schedule: must be a cron expression"),
    ],
)
async def test_a_bad_patch_is_422(
    client: httpx.AsyncClient, controller: FakeController, patch: dict[str, Any], sentence: str
) -> None:
    """Each mistake is named; nothing is changed."""
    (found,) = sentences(await client.patch("/plugins/monitor", json=patch))
    assert found.startswith(sentence)
    assert controller.calls == []


@pytest.mark.parametrize("call", ["rollback", "change"])
@pytest.mark.parametrize(
    "error",
    [
        PluginRejected.because(CheckFailure("syntax", "bad", "a.py", 3)),
        SourceUnavailable.because("not found"),
        WrongState("it is being replaced"),
        TimedOut("120 s"),
        StateUnavailable("the disk is full"),
    ],
)
async def test_failures_tell_why(
    client: httpx.AsyncClient, controller: FakeController, call: str, error: IocmngError
) -> None:
    """Status, type, sentence and failed checks are the error's own."""
    controller.raises[call] = error
    path, method = ("/tasks/monitor/rollback", "POST") if call == "rollback" else ("/tasks/monitor", "PATCH")
    response = await client.request(method, path, json={"generation": 1} if method == "POST" else {"branch": "x"})
    body = response.json()
    assert (response.status_code, body["detail"]) == (error.http_status, error.message)
    assert body["type"] == f"urn:iocmng:problem:{error.code}"
    assert body["validation"]["errors"] == [failure.to_dict() for failure in error.failures]


@pytest.mark.parametrize(("name", "kind", "status"), [("none", "tasks", 404), ("scan", "tasks", 400)])
async def test_unknown_names_and_the_wrong_kind(client: httpx.AsyncClient, name: str, kind: str, status: int) -> None:
    """They are refused as everywhere."""
    assert (await client.post(f"/{kind}/{name}/rollback")).status_code == status
    assert (await client.patch(f"/{kind}/{name}", json={"branch": "x"})).status_code == status


async def test_apply(client: httpx.AsyncClient, controller: FakeController) -> None:
    """All entries reach the Controller at once; the answer tells what was done, when this replica shows it."""
    response = await client.post("/apply", json=APPLY)
    body = response.json()
    assert response.status_code == 200
    assert (body["ok"], body["message"]) == (True, "2 added")
    assert body["results"] == [
        {"name": "new", "action": "added", "message": ""},
        {"name": "other", "action": "added", "message": ""},
    ]
    ApplyAnswer.model_validate(body)
    ((call, owner, requests),) = controller.calls
    assert (call, owner, [request.name for request in requests]) == ("apply", "/etc/plugins.yaml", ["new", "other"])
    assert (await client.get("/plugins/new")).json()["owner"] == "/etc/plugins.yaml"


async def test_apply_returns_when_this_replica_shows_it(serving: Serving, controller: FakeController) -> None:
    """As every change."""
    async with serving(controller, times=FollowTimes(settle=30)) as client:
        controller.publishing.clear()
        applying = asyncio.create_task(client.post("/apply", json=APPLY))
        await controller.changed()
        assert (await client.get("/plugins/new")).status_code == 404
        assert not applying.done()
        controller.publish()
        assert (await applying).status_code == 200
        assert (await client.get("/plugins/other")).status_code == 200


async def test_apply_of_nothing(client: httpx.AsyncClient, controller: FakeController) -> None:
    """A file without entries is one whose plugins are to go."""
    response = await client.post("/apply", json={"owner": "x", "plugins": []})
    assert (response.status_code, response.json()["message"]) == (200, "nothing to do")
    assert controller.calls == [("apply", "x", [])]


async def test_a_failed_entry_makes_it_422_with_all_results(
    client: httpx.AsyncClient, controller: FakeController
) -> None:
    """What failed and what was done are both told: once as failed checks, once as results."""
    controller.applied = [
        Applied("a", "unchanged"),
        Applied("b", "failed", "clone: repository not found"),
        Applied("c", "removed", "the file no longer names it"),
        Applied("d", "failed", "syntax: bad"),
    ]
    response = await client.post("/apply", json=APPLY)
    body = response.json()
    assert sentences(response) == ["b: clone: repository not found", "d: syntax: bad"]
    assert body["type"] == "urn:iocmng:problem:apply-failed"
    assert (body["ok"], body["status"]) == (False, 422)
    assert body["detail"] == body["message"]
    assert body["detail"] == "2 failed, 1 removed, 1 unchanged: b: clone: repository not found; d: syntax: bad"
    assert [(row["name"], row["action"]) for row in body["results"]] == [
        ("a", "unchanged"),
        ("b", "failed"),
        ("c", "removed"),
        ("d", "failed"),
    ]
    assert {error["step"] for error in body["validation"]["errors"]} == {"apply"}
    ApplyProblem.model_validate(body)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            {
                "owner": "x",
                "plugins": [ENTRY, ENTRY, ENTRY | {"name": "b"}, ENTRY | {"name": "b"}, ENTRY | {"name": "c"}],
            },
            ["each plugin may stand in plugins once, but these are repeated: 'b', 'new'"],
        ),
        ({"plugins": []}, ["'owner' is missing"]),
        ({"owner": "x"}, ["'plugins' is missing"]),
        ({"owner": "", "plugins": []}, ["owner: string should have at least 1 character"]),
        ({"owner": "x" * 1025, "plugins": []}, ["owner: string should have at most 1024 characters"]),
        ({"owner": "a\nb", "plugins": []}, ["owner: string should match pattern '^[^\\x00-\\x1f\\x7f]+$'"]),
        ({"owner": "x", "plugins": [5]}, ["plugins.0 must be a JSON object"]),
        ({"owner": "x", "plugins": [{"name": "a"}]}, ["plugins.0: give git_url or local_path, and only one of them"]),
        (
            {"owner": "x", "plugins": [ENTRY, ENTRY | {"name": "a b"}]},
            ["plugins.1.name: use 1 to 128 letters, digits, '_' and '-', beginning with a letter or a digit"],
        ),
        (
            {"owner": "x", "plugins": [ENTRY | {"brnch": 1}]},
            ["unknown key 'plugins.0.brnch'; did you mean 'branch'?"],
        ),
        ({"owner": "x", "plugins": [], "plugin": []}, ["unknown key 'plugin'; did you mean 'plugins'?"]),
    ],
)
async def test_a_bad_apply_is_422_and_does_nothing(
    client: httpx.AsyncClient, controller: FakeController, body: dict[str, Any], found: list[str]
) -> None:
    """Each mistake is named with its place; no plugin is touched, and there are no results."""
    response = await client.post("/apply", json=body)
    assert sentences(response) == found
    assert "results" not in response.json()
    ApplyProblem.model_validate(response.json())
    assert controller.calls == []


@pytest.mark.parametrize("key", ["body", "query", "header", "path"])
async def test_keys_that_sound_like_places_are_named(client: httpx.AsyncClient, key: str) -> None:
    """A key of the body is never mistaken for the part of the call that it stands in."""
    (sentence,) = sentences(await client.post("/plugins", json=ENTRY | {key: 5}))
    assert key in sentence.split(";")[0].split("(")[0]


async def test_no_answer_and_no_log_holds_a_pat(
    client: httpx.AsyncClient, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a patch nor an apply gives it away, whether it works or not."""
    caplog.set_level(logging.DEBUG)
    entry = ENTRY | {"pat": "ghp_topsecret"}
    bodies = [
        {"owner": "x", "plugins": [entry]},
        {"owner": "x", "plugins": [entry, entry]},
        {"owner": "x", "plugins": [entry | {"branch": 5}]},
        {"owner": "x", "plugins": [ENTRY | {"pat": ["ghp_topsecret"]}]},
        {"owner": "x", "plugins": entry},
    ]
    texts = [(await client.post("/apply", json=body)).text for body in bodies]
    patches = [{"pat": "ghp_topsecret"}, {"pat": {"x": "ghp_topsecret"}}, {"pat": "ghp_topsecret", "x": 1}]
    texts += [(await client.patch("/plugins/monitor", json=patch)).text for patch in patches]
    assert controller.calls[-1][3].pat.get_secret_value() == "ghp_topsecret"
    assert not [text for text in [*texts, caplog.text] if "topsecret" in text]


@pytest.mark.parametrize(("method", "path"), [("POST", "/apply"), ("PATCH", "/plugins/monitor")])
async def test_bodies_have_limits(serving: Serving, controller: FakeController, method: str, path: str) -> None:
    """As those of an add."""
    async with serving(controller, max_body_bytes=2048) as client:
        assert (await client.request(method, path, content=b" " * 3000)).status_code == 413
        assert (await client.request(method, path, files={"f": b"{}"})).status_code == 415
