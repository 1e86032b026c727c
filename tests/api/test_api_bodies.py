"""Bodies: from every tool, of every size, of every malice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from api_fakes import FakeController, Serving

from iocmng.core.runs import RunRequest

ADDS = ["/plugins", "/tasks", "/jobs"]
GOOD = b'{"name": "new", "git_url": "https://git.example.org/p.git"}'
LONG = b"x" * 300_000


def with_parameters(text: bytes) -> bytes:
    return GOOD[:-1] + b', "parameters": ' + text + b"}"


def nested(depth: int, opened: bytes = b"[", closed: bytes = b"]") -> bytes:
    return opened * depth + b"1" + closed * depth


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n\t",
    "word": b"hello",
    "a form": b"name=new&git_url=https%3A%2F%2Fgit.example.org%2Fp.git",
    "cut off": GOOD[:-1],
    "trailing text": GOOD + b"x",
    "two objects": GOOD + GOOD,
    "single quotes": b"{'name': 'new'}",
    "trailing comma": GOOD[:-1] + b",}",
    "comment": b"/* hi */" + GOOD,
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "text": b'"name"',
    "list": b"[" + GOOD + b"]",
    "NaN alone": b"NaN",
    "NaN": with_parameters(b'{"x": NaN}'),
    "deep NaN": with_parameters(b'{"x": [{"y": [NaN]}]}'),
    "Infinity": with_parameters(b'{"x": Infinity}'),
    "-Infinity": with_parameters(b'{"x": -Infinity}'),
    "1e999": with_parameters(b'{"x": 1e999}'),
    "NaN as order": GOOD[:-1] + b', "autostart_order": NaN}',
    "NaN as flag": GOOD[:-1] + b', "auto_start": NaN}',
    "lone high surrogate": with_parameters(b'{"x": "\\ud800"}'),
    "lone low surrogate": with_parameters(b'{"x": "\\udc00"}'),
    "surrogates the wrong way round": with_parameters(b'{"x": "\\udc00\\ud800"}'),
    "lone surrogate as key": with_parameters(b'{"\\ud800": 1}'),
    "surrogate encoded in UTF-8": with_parameters(b'{"x": "\xed\xa0\x80"}'),
    "invalid UTF-8": with_parameters(b'{"x": "\xff\xfe"}'),
    "cut UTF-8": with_parameters(b'{"x": "\xc3"}'),
    "latin-1": with_parameters('{"x": "\xe9"}'.encode("latin-1")),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "control character": with_parameters(b'{"x": "\x01"}'),
    "100000 lists": b"[" * 100_000,
    "100000 objects": b'{"a":' * 100_000,
    "100000 lists, closed": nested(100_000),
    "100000 lists in parameters": with_parameters(b'{"x": ' + nested(100_000) + b"}"),
    "100 lists in parameters": with_parameters(b'{"x": ' + nested(100) + b"}"),
    "100 objects in parameters": with_parameters(nested(100, b'{"x":', b"}")),
    "a number of 100000 digits": with_parameters(b'{"x": ' + b"9" * 100_000 + b"}"),
    "a huge order": GOOD[:-1] + b', "autostart_order": 1' + b"0" * 300 + b"}",
    "a schedule as a list": GOOD[:-1] + b', "schedule": ["* * * * *"]}',
    "a huge schedule": GOOD[:-1] + b', "schedule": "' + b"* " * 10_000 + b'"}',
    "a schedule with a NUL": GOOD[:-1] + b', "schedule": {"cron": "* * * * *", "timezone": "Europe/\\u0000Rome"}}',
    "a time zone elsewhere": GOOD[:-1] + b', "schedule": {"cron": "* * * * *", "timezone": "../../../etc/passwd"}}',
    "NaN in a schedule": GOOD[:-1] + b', "schedule": {"cron": "* * * * *", "parameters": {"x": NaN}}}',
    "a huge name": b'{"name": "' + LONG + b'", "git_url": "x"}',
    "a huge key": GOOD[:-1] + b', "' + LONG + b'": 1}',
    "a huge key in parameters": with_parameters(b'{"' + LONG + b'": NaN}'),
    "50000 unknown keys": b"{" + b",".join(b'"k%d":1' % number for number in range(50_000)) + b"}",
    "no name": b'{"git_url": "x"}',
    "no source": b'{"name": "new"}',
    "two sources": GOOD[:-1] + b', "local_path": "/x"}',
    "null name": b'{"name": null, "git_url": "x"}',
    "name of another type": b'{"name": {"a": 1}, "git_url": "x"}',
    "name with a line break": b'{"name": "new\\n", "git_url": "x"}',
    "name with dots": b'{"name": "..", "git_url": "x"}',
    "parameters as a list": with_parameters(b"[]"),
    "parameters as text": with_parameters(b'"{}"'),
    "path as a number": GOOD[:-1] + b', "path": 5}',
}


@pytest.mark.parametrize("path", ADDS)
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bodies_are_422(
    client: httpx.AsyncClient, controller: FakeController, path: str, content: bytes
) -> None:
    """Each is refused with a short problem document; none reaches the Controller, none is a 500."""
    response = await client.post(path, content=content)
    body = response.json()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] == "urn:iocmng:problem:invalid-request"
    assert body["detail"]
    assert all(failure["step"] == "request" for failure in body["validation"]["errors"])
    assert body["validation"]["errors"]
    assert len(response.content) < 8000
    assert controller.calls == []


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bodies_of_a_run_are_never_500(client: httpx.AsyncClient, content: bytes) -> None:
    """A run refuses them too; only an empty body is no mistake there."""
    expected = 422 if content.strip() else 200
    assert (await client.post("/jobs/scan/run", content=content)).status_code == expected


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
        "",
        "nonsense",
        "multipart",
    ],
)
async def test_json_is_read_whatever_the_content_type(
    client: httpx.AsyncClient, controller: FakeController, content_type: str | None
) -> None:
    """`curl -d` says form, other tools say nothing: JSON is what they send."""
    headers = {} if content_type is None else {"content-type": content_type}
    response = await client.post("/plugins", content=GOOD, headers=headers)
    assert response.status_code == 201
    assert (
        await client.post("/jobs/scan/run", content=b'{"parameters": {"a": 1}}', headers=headers)
    ).status_code == 200
    assert controller.calls[-1] == ("run_job", "scan", RunRequest({"a": 1}, who="anonymous"), True)


@pytest.mark.parametrize("path", [*ADDS, "/jobs/scan/run"])
async def test_multipart_is_415(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """A multipart form is refused with a word on what to send."""
    response = await client.post(path, files={"file": ("a.json", GOOD)})
    assert response.status_code == 415
    assert response.json()["type"] == "urn:iocmng:problem:unsupported-media-type"
    assert "application/json" in response.json()["detail"]
    assert controller.calls == []


SENTENCES: list[tuple[bytes, list[str]]] = [
    (b'{"nmae": "a"}', ["'name' is missing", "unknown key 'nmae'; did you mean 'name'?"]),
    (GOOD[:-1] + b', "paramters": {}}', ["unknown key 'paramters'; did you mean 'parameters'?"]),
    (
        b'{"name": "a b", "git_url": "x"}',
        ["name: use 1 to 128 letters, digits, '_' and '-', beginning with a letter or a digit"],
    ),
    (b'{"name": "a"}', ["give git_url or local_path, and only one of them"]),
    (
        GOOD[:-1] + b', "auto_start": "perhaps"}',
        ["auto_start: input should be a valid boolean, unable to interpret input"],
    ),
    (GOOD[:-1] + b', "parameters": 5}', ["parameters: must be a JSON object"]),
    (b"", ["the body is empty; send a JSON object"]),
    (b"{]", ["the body is no valid JSON: key must be a string at line 1 column 2"]),
    (b"[]", ["the body must be a JSON object"]),
]


@pytest.mark.parametrize(("content", "sentences"), SENTENCES)
async def test_each_mistake_is_a_sentence(client: httpx.AsyncClient, content: bytes, sentences: list[str]) -> None:
    """One entry per mistake names the field and what is wrong; the detail is all of them."""
    body = (await client.post("/plugins", content=content)).json()
    assert body["detail"] == body["message"] == "; ".join(sentences)
    assert body["validation"] == {
        "ok": False,
        "errors": [{"step": "request", "message": text, "file": None, "line": None} for text in sentences],
    }


async def test_an_unknown_key_without_a_neighbour_lists_the_keys(client: httpx.AsyncClient) -> None:
    """Where no key is near, all are named."""
    body = (await client.post("/plugins", content=GOOD[:-1] + b', "qqq": 1}')).json()
    assert body["detail"].startswith("unknown key 'qqq' (keys are name, git_url, local_path, path, ")


async def test_many_mistakes_are_counted(client: httpx.AsyncClient) -> None:
    """After ten entries the rest is a number."""
    errors = (await client.post("/plugins", content=HOSTILE["50000 unknown keys"])).json()["validation"]["errors"]
    assert len(errors) == 11
    assert errors[-1]["message"] == "and 49991 mistakes more"


class Stream:
    """A body without a declared length that counts how much of it was taken."""

    def __init__(self, chunk: bytes, chunks: int) -> None:
        self.chunk, self.chunks, self.taken = chunk, chunks, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.chunks):
            self.taken += len(self.chunk)
            yield self.chunk


def body_of(size: int) -> bytes:
    """Return a good body of this size."""
    return GOOD + b" " * (size - len(GOOD))


@pytest.mark.parametrize(("size", "status"), [(2048, 201), (2049, 413), (10_000, 413)])
@pytest.mark.parametrize("path", ADDS)
async def test_the_limit_is_exact(
    serving: Serving, controller: FakeController, path: str, size: int, status: int
) -> None:
    """A body of the limit passes, one byte more is 413."""
    async with serving(controller, max_body_bytes=2048) as client:
        response = await client.post(path, content=body_of(size))
        assert response.status_code == status
        if status == 413:
            assert response.json()["type"] == "urn:iocmng:problem:body-too-large"
            assert "2048 bytes" in response.json()["detail"]
            assert controller.calls == []


@pytest.mark.parametrize("path", [*ADDS, "/jobs/scan/run"])
async def test_a_chunked_body_is_read_up_to_the_limit_only(
    serving: Serving, controller: FakeController, path: str
) -> None:
    """Without a declared length, reading stops with the chunk that passes the limit."""
    async with serving(controller, max_body_bytes=2048) as client:
        stream = Stream(b" " * 500, 1000)
        response = await client.post(path, content=stream)
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
        assert stream.taken <= 3000
        assert controller.calls == []


async def test_a_small_chunked_body_is_taken(client: httpx.AsyncClient) -> None:
    """Chunks are put together."""

    async def chunks() -> AsyncIterator[bytes]:
        for byte in GOOD:
            yield bytes([byte])

    assert (await client.post("/plugins", content=chunks())).status_code == 201


@pytest.mark.parametrize("declared", ["9" * 30, "1048577"])
@pytest.mark.parametrize("path", ["/plugins", "/tasks/monitor/restart", "/unknown"])
async def test_a_declared_length_is_enough_to_refuse(client: httpx.AsyncClient, path: str, declared: str) -> None:
    """What is announced as too large is refused before anything is read, on every path."""
    response = await client.post(path, content=Stream(b"x", 1), headers={"content-length": declared})
    assert response.status_code == 413


@pytest.mark.parametrize("declared", ["-1", "abc", "", "1e9"])
async def test_a_false_length_does_not_switch_the_limit_off(
    serving: Serving, controller: FakeController, declared: str
) -> None:
    """What arrives is counted whatever was declared."""
    async with serving(controller, max_body_bytes=2048) as client:
        response = await client.post("/plugins", content=Stream(b" " * 500, 50), headers={"content-length": declared})
        assert response.status_code == 413


async def test_the_largest_body_of_one_megabyte_is_taken(client: httpx.AsyncClient) -> None:
    """No other limit hides below ours."""
    content = with_parameters(json.dumps({"x": "y" * 1_000_000}).encode())
    assert (await client.post("/plugins", content=content)).status_code == 201


class Stuck:
    """A body that begins and does not go on until it is given up."""

    def __init__(self) -> None:
        self.began = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.began = True
        yield b'{"name": '
        await asyncio.Event().wait()


@pytest.mark.parametrize("path", [*ADDS, "/jobs/scan/run"])
async def test_a_body_that_does_not_come_is_given_up(serving: Serving, controller: FakeController, path: str) -> None:
    """Half a body is waited for as long as the setting says; the answer is 408 and names it."""
    async with serving(controller, body_timeout=0.05) as client:
        body = Stuck()
        response = await client.post(path, content=body)
        assert response.status_code == 408
        assert response.json()["type"] == "urn:iocmng:problem:body-too-slow"
        assert "IOCMNG_BODY_TIMEOUT" in response.json()["detail"]
        assert body.began
        assert controller.calls == []


async def test_the_limit_is_for_the_body_alone(serving: Serving, controller: FakeController) -> None:
    """A call whose body is there may take as long as it takes."""
    async with serving(controller, body_timeout=0.05) as client:
        controller.gate.clear()
        call = asyncio.ensure_future(client.post("/plugins", content=GOOD))
        await controller.called()
        _, pending = await asyncio.wait({call}, timeout=0.2)
        assert pending
        controller.gate.set()
        assert (await call).status_code == 201


@pytest.mark.parametrize("path", ["/plugins", "/tasks/monitor/restart", "/unknown"])
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "identity, gzip", "nonsense"])
async def test_a_packed_body_is_415(
    client: httpx.AsyncClient, controller: FakeController, path: str, coding: str
) -> None:
    """What would have to be unpacked is refused on every path, before it is read."""
    response = await client.post(path, content=Stream(b"x", 1), headers={"content-encoding": coding})
    assert response.status_code == 415
    assert "without Content-Encoding" in response.json()["detail"]
    assert controller.calls == []


@pytest.mark.parametrize("coding", ["", "identity", "IDENTITY"])
async def test_a_body_that_is_packed_as_nothing_is_taken(client: httpx.AsyncClient, coding: str) -> None:
    """`identity` says that the body is as it is."""
    response = await client.post("/plugins", content=GOOD, headers={"content-encoding": coding})
    assert response.status_code == 201
