"""Tokens of every role, and the file that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iocmng.core.access import Role
from iocmng.core.tokens_file import entry_text

TOKENS = {role: f"the {role.value}'s own token" for role in Role}

Entry = tuple[str, Role, str, str | None]


def entry(name: str, role: Role, token: str, plugins: str | None = None, expires: str | None = None) -> str:
    """Return an entry of the file."""
    return entry_text(name, role, token, plugins, expires)


def write_tokens(file: Path, *entries: str) -> Path:
    """Write a file of tokens, in place of an older one, for its owner alone; return it."""
    new = file.with_suffix(".new")
    new.write_text("tokens:\n" + "".join(entries) if entries else "tokens: []\n", encoding="utf-8")
    new.chmod(0o600)
    new.replace(file)
    return file


def of_all_roles(file: Path) -> Path:
    """Write a file with one token for each role; return it."""
    return write_tokens(file, *(entry(f"some-{role.value}", role, token) for role, token in TOKENS.items()))


def bearing(token: str) -> Mapping[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
