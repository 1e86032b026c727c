"""The file of tokens: who may do what, by the SHA-256 of a token. Pure; docs/adr/0018 tells the why of the hash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from iocmng.core.access import Principal, Role
from iocmng.core.words import nearest
from iocmng.core.yaml_text import load_yaml
from iocmng.errors import InvalidRequest, PluginRejected

HASH_PREFIX = "sha256:"

SHORTEST = 16
"""Characters of a token that nobody guesses by trying, if they are chosen at random."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}\Z")
_KEY = re.compile(r"[a-z_]{1,20}\Z")

PLUGIN_PATTERN = r"^[A-Za-z0-9_\-*?\[\]!]{1,200}$"
TOKEN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}$"


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One token that is taken.

    Attributes:
        principal: Who calls with it.
        digest: SHA-256 of the token.
        expires: From when on it is no longer taken; None: never.
    """

    principal: Principal
    digest: bytes = field(repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class HashedToken:
    """What has to be known of IOCMNG_TOKEN to recognise it.

    Attributes:
        digest: SHA-256 of the token.
        is_short: Whether it could be guessed.
    """

    digest: bytes = field(repr=False)
    is_short: bool

    @classmethod
    def of(cls, token: str) -> HashedToken:
        """Return it for a token."""
        return cls(digest_of(token.encode()), len(token) < SHORTEST)


class _Entry(BaseModel):
    """An entry as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=TOKEN_NAME)]
    role: Role
    hash: Annotated[str, Field(repr=False)]
    plugins: Annotated[str, Field(pattern=PLUGIN_PATTERN)] | None = None
    expires: datetime | None = None

    @field_validator("hash")
    @classmethod
    def _legal_hash(cls, value: str) -> str:
        if not _HASH.match(value):
            raise ValueError(
                "must be 'sha256:' and 64 hexadecimal digits, as `iocmng token create` prints it; never the token"
            )
        return value

    @field_validator("expires")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def digest_of(token: bytes) -> bytes:
    """Return what is kept of a token, and compared."""
    return hashlib.sha256(token).digest()


def parse_tokens(text: str, file: str) -> tuple[TokenEntry, ...]:
    """Return the entries of a file of tokens.

    Args:
        text: What it holds.
        file: Its path, for the sentence.

    Raises:
        InvalidRequest: If it does not fit; the text names the place and repeats nothing of the file.
    """
    entries = tuple(_entry(raw, f"{file}, entry {number}") for number, raw in enumerate(_rows(text, file), 1))
    for what, seen in (
        ("name", [entry.principal.name for entry in entries]),
        ("hash", [entry.digest.hex() for entry in entries]),
    ):
        for number, value in enumerate(seen):
            if value in seen[:number]:
                raise InvalidRequest(
                    f"{file}: the entries {seen.index(value) + 1} and {number + 1} have the same {what}; each token "
                    "needs its own"
                )
    return entries


def entry_text(name: str, role: Role, token: str, plugins: str | None = None, expires: str | None = None) -> str:
    """Return the entry of a new token as it stands in the file, below `tokens:`.

    Raises:
        InvalidRequest: If the name, the pattern or the time does not fit.
    """
    entry: dict[str, str] = {"name": name, "role": role.value, "hash": HASH_PREFIX + digest_of(token.encode()).hex()}
    entry |= {"plugins": plugins} if plugins is not None else {}
    entry |= {"expires": expires} if expires is not None else {}
    text = yaml.safe_dump([entry], sort_keys=False, width=1000)
    parse_tokens(f"tokens:\n{text}", "the new token")
    return text


def with_entry(text: str, entry: str, file: str) -> str:
    """Return the text of a file of tokens with one entry more at its end; comments stay.

    Raises:
        InvalidRequest: If the file does not fit, or has the name already, or is written in such a way that an entry
            cannot stand at its end.
    """
    before = parse_tokens(text, file)
    name = parse_tokens(f"tokens:\n{entry}", "the new token")[0].principal.name
    if any(known.principal.name == name for known in before):
        raise InvalidRequest(
            f"{file} has a token of {name!r} already; take its entry out first, or choose another name"
        )
    indent = " " * (_indent(text) if before else 2)
    stem = text if before else "tokens:\n"
    lines = "".join(f"{indent}{line}\n" for line in entry.splitlines())
    longer = f"{stem.rstrip()}\n{lines}"
    try:
        after = parse_tokens(longer, file)
    except InvalidRequest:
        after = ()
    if after[:-1] != before or len(after) != len(before) + 1:
        raise InvalidRequest(f"{file} is written so that nothing can be put at its end; add the entry by hand")
    return longer


def _rows(text: str, file: str) -> list[Any]:
    try:
        data, _ = load_yaml(text, file)
    except PluginRejected as error:
        # Not its text: it may quote the file.
        line = error.failures[0].line
        place = f", line {line}," if line else ""
        raise InvalidRequest(f"{file}{place} is no valid YAML, or has a key twice") from None
    if not isinstance(data, dict):
        raise InvalidRequest(f"{file} must hold a mapping with the key `tokens` and a list")
    mapping = cast("dict[Any, Any]", data)
    rows = mapping.get("tokens")
    if set(mapping) != {"tokens"} or not isinstance(rows, list):
        raise InvalidRequest(f"{file} must have the key `tokens` with a list, and no other key")
    return cast("list[Any]", rows)


def _entry(raw: Any, place: str) -> TokenEntry:
    if not isinstance(raw, dict):
        raise InvalidRequest(f"{place}: must be a mapping with name, role and hash")
    try:
        entry = _Entry.model_validate(raw)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
        raise InvalidRequest(f"{place}: {'; '.join(_sentence(dict(mistake)) for mistake in mistakes)}") from None
    principal = Principal(entry.name, entry.role, entry.plugins)
    return TokenEntry(principal, bytes.fromhex(entry.hash.removeprefix(HASH_PREFIX)), entry.expires)


def _sentence(mistake: dict[str, Any]) -> str:
    key = str(mistake["loc"][0]) if mistake["loc"] else ""
    if mistake["type"] == "extra_forbidden":
        # A key could be a secret that stands in the wrong place.
        known = f"unknown key {key!r}{nearest(key, _Entry.model_fields)}" if _KEY.match(key) else "unknown key"
        return f"{known} (keys are {', '.join(_Entry.model_fields)})"
    if mistake["type"] == "missing":
        return f"{key!r} is missing"
    if mistake["type"] == "string_pattern_mismatch":
        return f"{key}: use " + (
            "1 to 64 letters, digits, '.', '_', '@' and '-', beginning with a letter or a digit"
            if key == "name"
            else "letters, digits, '_', '-' and the signs of a pattern: * ? [abc]"
        )
    message = str(mistake["msg"]).removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}"


def _indent(text: str) -> int:
    """Return the column at which the entries of a file begin that has some."""
    root = load_yaml(text, "")[1]
    if not isinstance(root, yaml.MappingNode):
        return 0
    rows = cast("list[tuple[yaml.Node, yaml.Node]]", root.value)
    return rows[0][1].start_mark.column if rows else 0  # pyright: ignore[reportUnknownMemberType]
