"""What stands in an entry of the audit: no secrets, nothing without end, no forged lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from iocmng.core.audit import (
    CUT,
    LONGEST_SUMMARY,
    LONGEST_TEXT,
    AuditEntry,
    AuditKind,
    Door,
    log_line,
    summary,
    without_credential,
)
from iocmng.core.request import PluginChange, PluginRequest

CANARY = "canary-0f5a"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=80) | st.dictionaries(st.text(), inner, max_size=80),
    max_leaves=60,
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://git.example.org/p.git", "https://git.example.org/p.git"),
        (f"https://user:{CANARY}@git.example.org:8443/p.git", "https://git.example.org:8443/p.git"),
        (f"https://{CANARY}@git.example.org/p.git", "https://git.example.org/p.git"),
        (f"https://git.example.org/p.git?token={CANARY}#{CANARY}", "https://git.example.org/p.git"),
        (f"ssh://git:{CANARY}@git.example.org/p.git", "ssh://git@git.example.org/p.git"),
        ("git@git.example.org:p.git", "git@git.example.org:p.git"),
        (f"user:{CANARY}@git.example.org/p.git", "***"),
        (f"ext::sh -c {CANARY}", "***"),
        (f"https://user:{CANARY}@[bad/p.git", "***"),
        ("/data/p.git", "/data/p.git"),
        ("file:///data/p.git", "file:///data/p.git"),
    ],
)
def test_a_url_is_shown_without_its_credential(url: str, shown: str) -> None:
    """Whatever could be a credential in a URL is left out, also in one that is refused."""
    assert without_credential(url) == shown


@pytest.mark.parametrize(("secrets", "gain"), [(frozenset({"password"}), 2), (None, "***")])
def test_what_an_add_asks_for(secrets: frozenset[str] | None, gain: Any) -> None:
    """Where from, which version, the parameters: their names always, their values where they are known to be none."""
    request = PluginRequest(
        name="scan",
        git_url="https://git.example.org/p.git",
        path="scan",
        branch="main",
        pat=SecretStr(CANARY),
        parameters={"gain": 2, "password": CANARY},
        schedule={"cron": "0 6 * * *", "parameters": {"password": CANARY}},  # pyright: ignore[reportArgumentType]
    )
    told = summary(request.model_dump(exclude_unset=True), secrets)
    assert CANARY not in json.dumps(told)
    assert (told["git_url"], told["path"], told["branch"]) == ("https://git.example.org/p.git", "scan", "main")
    assert told["parameters"] == {"gain": gain, "password": "***"}
    assert told["pat"] == "***"


def test_what_a_change_asks_for() -> None:
    """A credential that is taken away is told apart from one that is given."""
    change = PluginChange.model_validate({"ssh_key": CANARY, "pat": None, "commit": "abcdef0"})
    told = summary(change.model_dump(exclude_unset=True), frozenset())
    assert told == {"ssh_key": "***", "pat": None, "commit": "abcdef0"}


def test_a_plugins_file_is_told_by_its_names() -> None:
    """Of the entries of an apply only the names are kept."""
    told = summary({"owner": "/p.yaml", "plugins": [{"name": "one", "pat": CANARY}, {"name": "two"}]}, None)
    assert told == {"owner": "/p.yaml", "plugins": ["one", "two"]}


@given(st.dictionaries(st.text(), JSON, max_size=80))
def test_a_summary_is_bounded(values: dict[str, Any]) -> None:
    """Whatever was asked for, an entry stays small, and JSON."""
    told = summary(values, frozenset())
    text = json.dumps(told, allow_nan=False)
    assert len(text) <= 3 * LONGEST_SUMMARY + 100 * 700


def test_what_is_left_out_is_marked() -> None:
    """A long text, list, mapping or nesting ends with a mark."""
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    told = summary(
        {"path": "x" * 9000, "node": {str(number): "v" for number in range(99)}, "many": list(range(99)), "deep": deep},
        frozenset(),
    )
    assert told["path"] == "x" * LONGEST_TEXT + CUT
    assert told["node"][CUT] == "49 more"
    assert told["many"][-1] == CUT
    assert CUT in json.dumps(told["deep"])


@given(st.text(), st.text())
def test_no_text_forges_a_line(who: str, value: str) -> None:
    """An entry is one line of printable ASCII, and comes back as it was."""
    line = log_line(
        AuditEntry(0.0, Door.EPICS, AuditKind.WRITE, f"{who}\n\r\x1b[2J\x7f", "put", request={"value": value})
    )
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["who"] == f"{who}\n\r\x1b[2J\x7f"
    assert json.loads(line)["request"] == {"value": value}
