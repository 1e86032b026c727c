"""The tokens that are taken now: IOCMNG_TOKEN, and what the file of tokens holds, read again when it changes."""

from __future__ import annotations

import hmac
import logging
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from iocmng.core.access import Principal, Role
from iocmng.core.tokens_file import HashedToken, TokenEntry, digest_of, parse_tokens
from iocmng.errors import InvalidRequest, Unauthorized

logger = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between two looks at whether the file has changed."""

MAX_BYTES = 1024 * 1024

_OPEN_TO_ALL = stat.S_IROTH | stat.S_IWOTH

_Mark = tuple[int, int, int, int]


def read_tokens_file(path: Path) -> tuple[TokenEntry, ...]:
    """Return the entries of the file of tokens; warn where everybody on the machine can read or change it.

    Raises:
        InvalidRequest: If it cannot be read, or does not fit; the text repeats nothing of it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise InvalidRequest(f"cannot read the tokens file {path}: {error.strerror}; see IOCMNG_TOKENS_FILE") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"the tokens file {path} is no text in UTF-8") from None
    if len(content) > MAX_BYTES:
        raise InvalidRequest(f"the tokens file {path} is larger than {MAX_BYTES} bytes")
    if mode & _OPEN_TO_ALL:
        logger.warning("every user of this machine can read or change the tokens file %s; chmod o-rw it", path)
    return parse_tokens(text, str(path))


class TokenBook:
    """Knows whose token a credential is."""

    def __init__(
        self, token: HashedToken | None, path: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file.

        Args:
            token: The one admin token of IOCMNG_TOKEN.
            path: The file of tokens.
            clock: Tells the time by which the file is looked at again.

        Raises:
            InvalidRequest: If the file cannot be read, or does not fit.
        """
        own = TokenEntry(Principal("token", Role.ADMIN), token.digest) if token else None
        self._fixed = (own,) if own else ()
        self._path = path
        self._clock = clock
        self._mark = _mark(path)  # before the file is read: a change meanwhile is seen at the next look
        self._listed = read_tokens_file(path) if path else ()
        self._looked_at = clock()

    def find(self, credential: bytes) -> Principal | None:
        """Return whose token this is, if it is one.

        All entries are compared, so that the time tells nothing of them.

        Raises:
            Unauthorized: If it is one that is no longer taken.
        """
        self._look()
        digest, found = digest_of(credential), None
        for entry in (*self._fixed, *self._listed):
            if hmac.compare_digest(entry.digest, digest):
                found = entry
        if found is None:
            return None
        if found.expires is not None and datetime.now(UTC) >= found.expires:
            raise Unauthorized(f"the token of {found.principal.name!r} has expired; ask for a new one")
        return found.principal

    def _look(self) -> None:
        """Read the file again if it has changed. What cannot be read leaves everything as it was."""
        if self._path is None or self._clock() - self._looked_at < LOOK_AGAIN:
            return
        self._looked_at = self._clock()
        mark = _mark(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._listed = read_tokens_file(self._path)
        except InvalidRequest as error:
            logger.error("%s. The tokens that it held before are still taken", error.message)
        else:
            logger.info("the tokens file %s was read again: %d tokens", self._path, len(self._listed))


def _mark(path: Path | None) -> _Mark | None:
    """Return what changes when a file changes."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size) if found else None
