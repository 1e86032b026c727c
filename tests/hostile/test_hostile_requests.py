"""Names, numbers and parameters of an add."""

from __future__ import annotations

import json
import keyword
import socket
from typing import Any

import pytest
from hostile_support import Row, Watched

pytestmark = pytest.mark.thorough

NAMES = {
    "empty": "",
    "blank": " ",
    "dot": ".",
    "upwards": "..",
    "path upwards": "../../etc",
    "slash": "a/b",
    "backslash": "a\\b",
    "option": "-x",
    "long option": "--help",
    "underscore first": "_x",
    "colon": "A:B",
    "dot inside": "a.b",
    "quote": 'a"b',
    "markup": "<script>",
    "macro": "$(IOC)",
    "statement": "'; DROP TABLE plugins; --",
    "line break": "a\nb",
    "line break at the end": "a\n",
    "zero byte": "a\0",
    "escape sequence": "\x1b[2J",
    "umlaut": "küche",
    "homoglyph": "m\u043etor",
    "right-to-left override": "a\u202eb",
    "zero width": "a\u200bb",
    "full-width": "\uff41",
    "digit of another script": "\u0661",
    "emoji": "\U0001f600",
    "too long": "x" * 129,
    "without end": "x" * 100_000,
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_is_refused(watched: Watched, case: str):
    """A name is 1 to 128 letters, digits, '_' and '-'."""
    row = Row("use 1 to 128 letters", body={"name": NAMES[case]}, files={}, step="request")
    watched.check(watched.add(row), row)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "name is a number": ({"name": 5}, "name"),
    "name is null": ({"name": None}, "name"),
    "name is a list": ({"name": ["a"]}, "name"),
    "order beyond all numbers": ({"autostart_order": 10**30}, "autostart_order"),
    "order is a fraction": ({"autostart_order": 1.5}, "autostart_order"),
    "start is a word": ({"auto_start": "perhaps"}, "auto_start"),
    "parameters are a list": ({"parameters": []}, "parameters"),
    "parameters are deep": (
        {"parameters": {"a": json.loads("[" * 40 + "]" * 40)}},
        "deep",
    ),
    "parameter beyond all numbers": ({"parameters": {"a": 10**400}}, "too large"),
    "interval below zero": ({"parameters": {"interval": -1}}, "interval"),
    "interval is nothing": ({"parameters": {"interval": -0.0}}, "interval"),
    "interval beyond a day": ({"parameters": {"interval": 1e300}}, "interval"),
    "interval is a word": ({"parameters": {"interval": "nan"}}, "interval"),
    "mode is none": ({"parameters": {"mode": "sometimes"}}, "mode"),
    "resources below zero": ({"resources": {"gpu": -1}}, "gpu"),
    "resources beyond": ({"resources": {"gpu": 1e308}}, "gpu"),
    "resources named so": ({"resources": {"../x": 1}}, "resources"),
    "label with a command": ({"node": {"room": "$(id)"}}, "node"),
    "schedule of a task": ({"schedule": "@daily"}, "task"),
    "schedule is nonsense": ({"schedule": "every day"}, "cron"),
    "schedule beyond": ({"schedule": "99999999999999999999 * * * *"}, "cron"),
    "path is without end": ({"path": "x" * 2000}, "path"),
    "path is a list": ({"path": ["a"]}, "path"),
    "name of the neighbour in capitals": ({"name": "NEIGHBOUR"}, "served by plugin neighbour"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_is_refused(watched: Watched, case: str):
    """Each value is checked, and the answer names it."""
    body, words = WRONG[case]
    row = Row(words, body=body, files={})
    watched.check(watched.add(row), row)


def test_a_name_that_is_taken(watched: Watched):
    """A second plugin of one name is refused, and the first goes on."""
    row = Row("already", 409, body={"name": "neighbour"}, files={})
    watched.check(watched.add(row), row)


def test_the_wrong_kind(watched: Watched):
    """A task that is sent to the jobs is refused."""
    row = Row("not a job", 400, files={})
    watched.check(watched.add(row, kind="jobs"), row)


@pytest.mark.parametrize("name", ["a%0Ab", "%0A", "%00", "%2e%2e", "a%2Fb", "%E2%80%AE"])
def test_a_name_in_a_path_that_is_none(watched: Watched, name: str):
    """It is answered with a problem document, as every error is."""
    answer = watched.server.http.get(f"/plugins/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_header_without_an_end(watched: Watched):
    """The connection is closed soon, and the others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", watched.server.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with pytest.raises(OSError):  # noqa: PT011  a reset or a broken pipe, as it comes
            connection.sendall(b"a" * (32 * 1024 * 1024))
    assert watched.server.http.get("/health", timeout=5).status_code == 200


@pytest.mark.parametrize("name", ["class", "None", "CON", "nul"])
def test_a_word_of_others_is_a_name_like_any(watched: Watched, name: str):
    """Words of Python or of other systems are no trouble as names: such a plugin comes and goes."""
    assert name in keyword.kwlist or name.upper() in ("CON", "NUL")
    answer = watched.add(Row("", body={"name": name}, files={}))
    assert answer.status_code == 201, answer.text
    assert watched.server.http.delete(f"/plugins/{name}").status_code == 200
