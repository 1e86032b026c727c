"""The file of tokens, roles and patterns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from iocmng.core.access import ANONYMOUS, Principal, Role
from iocmng.core.tokens_file import entry_text, parse_tokens, with_entry
from iocmng.errors import Forbidden, InvalidRequest

HASH = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64
SECRET = "never-to-be-shown-5b1f"


def refused(text: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse_tokens(text, "tokens.yaml")
    assert "tokens.yaml" in caught.value.message
    return caught.value.message


def test_an_entry_says_who_may_do_what() -> None:
    """Name, role, pattern and time; a date is its beginning in UTC."""
    text = f"tokens:\n- {{name: a, role: operator, hash: '{HASH}', plugins: 'vac-*', expires: 2027-01-31}}\n"
    (entry,) = parse_tokens(text, "f")
    assert entry.principal == Principal("a", Role.OPERATOR, "vac-*")
    assert entry.digest == bytes(32)
    assert entry.expires == datetime(2027, 1, 31, tzinfo=UTC)


def test_a_hash_is_in_no_repr() -> None:
    """What is logged by mistake tells nothing of a token."""
    (entry,) = parse_tokens(entry_file := "tokens:\n" + entry_text("a", Role.ADMIN, SECRET), "f")
    digest = entry_file.partition("sha256:")[2][:64]
    assert digest not in repr(entry)
    assert repr(entry.digest) not in repr(entry)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "`tokens`"),
        ("- a", "`tokens`"),
        ("tokens: 5", "`tokens`"),
        ("tokens: []\nmore: 1", "no other key"),
        ("tokens: [5]", "entry 1: must be a mapping"),
        ("tokens: [{name: a}]", "'role' is missing; 'hash' is missing"),
        (f"tokens: [{{name: a, role: boss, hash: '{HASH}'}}]", "'viewer', 'operator' or 'admin'"),
        (f"tokens: [{{name: 'a b', role: admin, hash: '{HASH}'}}]", "name: use 1 to 64"),
        (f"tokens: [{{name: a, role: admin, hash: {SECRET}}}]", "never the token"),
        (f"tokens: [{{name: a, role: admin, hash: '{HASH.upper()}'}}]", "64 hexadecimal"),
        (f"tokens: [{{name: a, role: admin, hash: '{HASH}', plugin: x}}]", "did you mean 'plugins'?"),
        (f"tokens: [{{name: a, role: admin, hash: '{HASH}', plugins: ''}}]", "plugins: use"),
        (f"tokens: [{{name: a, role: admin, hash: '{HASH}', plugins: 'a b'}}]", "plugins: use"),
        (f"tokens: [{{name: a, role: admin, hash: '{HASH}', expires: soon}}]", "expires:"),
        (f"tokens: [{{name: a, role: admin, hash: '{HASH}', {SECRET}: 1}}]", "unknown key (keys are"),
        (
            f"tokens:\n- {{name: a, role: admin, hash: '{HASH}'}}\n- {{name: a, role: admin, hash: '{OTHER}'}}",
            "same name",
        ),
        (
            f"tokens:\n- {{name: a, role: admin, hash: '{HASH}'}}\n- {{name: b, role: admin, hash: '{HASH}'}}",
            "same hash",
        ),
        (f"tokens:\n- name: a\n  hash: {SECRET}: b", "line 3"),
        (f"tokens: [{{name: a, hash: !{SECRET} x}}]", "no valid YAML"),
        (f"tokens: [{{{SECRET}: 1, {SECRET}: 2}}]", "has a key twice"),
    ],
)
def test_what_does_not_fit_is_told_without_repeating_it(text: str, words: str) -> None:
    """The sentence names file, entry and key; a token that stands in the wrong place is not shown."""
    message = refused(text)
    assert words in message
    assert SECRET not in message
    assert "00000" not in message


def test_an_entry_is_put_at_the_end() -> None:
    """What stands there stays as it is, with its comments and its indentation."""
    text = f"# ours\ntokens:\n    # the first\n    - {{name: a, role: admin, hash: '{HASH}'}}\n"
    longer = with_entry(text, entry_text("b", Role.VIEWER, "token"), "f")
    assert longer.startswith(text)
    assert [entry.principal.name for entry in parse_tokens(longer, "f")] == ["a", "b"]


def test_an_entry_is_put_into_an_empty_list() -> None:
    """The first one, too."""
    assert len(parse_tokens(with_entry("tokens: []\n", entry_text("b", Role.VIEWER, "token"), "f"), "f")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"tokens: [{{name: a, role: admin, hash: '{HASH}'}}]\n", "by hand"),
        (f"tokens:\n- {{name: b, role: admin, hash: '{HASH}'}}\n", "'b' already"),
        ("nonsense\n", "`tokens`"),
    ],
)
def test_an_entry_that_cannot_be_put_there(text: str, words: str) -> None:
    """A list on one line, a name that is taken, a file of something else: a sentence, and nothing is made."""
    with pytest.raises(InvalidRequest, match=words):
        with_entry(text, entry_text("b", Role.VIEWER, "token"), "f")


@pytest.mark.parametrize(
    ("role", "may"),
    [(Role.VIEWER, [Role.VIEWER]), (Role.OPERATOR, [Role.VIEWER, Role.OPERATOR]), (Role.ADMIN, list(Role))],
)
def test_each_role_may_do_what_the_ones_before_it_may(role: Role, may: list[Role]) -> None:
    """And no more; the sentence names both roles."""
    for needed in Role:
        if needed in may:
            Principal("a", role).check_role(needed)
        else:
            with pytest.raises(Forbidden, match=f"needs the role {needed.value}.*'a' has the role {role.value}"):
                Principal("a", role).check_role(needed)


def test_a_pattern_covers_all_names_or_none_passes() -> None:
    """One name outside is enough; the sentence names it and the pattern."""
    principal = Principal("a", Role.ADMIN, "vac-*")
    principal.check_plugins(["vac-1", "vac-2"])
    with pytest.raises(Forbidden, match=r"'vac-\*' only, and not 'VAC-1', 'pump'"):
        principal.check_plugins(["vac-1", "pump", "VAC-1"])


def test_a_pattern_excludes_what_concerns_no_plugin() -> None:
    """A call about everything is for those who may change everything."""
    with pytest.raises(Forbidden, match="none of them"):
        Principal("a", Role.ADMIN, "*").check_plugins([])
    ANONYMOUS.check_plugins([])
