"""Which user each plugin runs as, where the server runs as root and was told to give them others."""

from __future__ import annotations

import json
import os
import pwd
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import iocmng
from iocmng.errors import InvalidRequest, ServerUnavailable
from iocmng.loading.confinement import Owner
from iocmng.settings import Settings


class PluginUsers:
    """Gives each plugin its user. The numbers of IOCMNG_PLUGIN_UIDS are kept in the state: a plugin keeps its own.

    A number that has become free is given away again only when all others have been: something of the plugin that had
    it may lie somewhere yet.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = settings.state / "plugin-uids.json"
        self._lock = threading.Lock()

    def owner_of(self, name: str) -> Owner | None:
        """Return the user of a plugin, or None where it has the server's own.

        Raises:
            ServerUnavailable: If there is no number left, or it cannot be kept.
        """
        if self._settings.plugin_user is not None:
            user = user_named(self._settings.plugin_user)
            return Owner(user.pw_uid, user.pw_gid, is_shared=True)
        if self._settings.plugin_uids is None:
            return None
        with self._lock:
            uid = self._uid_of(name, self._settings.plugin_uids)
        return Owner(uid, uid, is_shared=False)

    def forget(self, keep: frozenset[str]) -> None:
        """Take the numbers back of all plugins except those to be kept, by name."""
        if self._settings.plugin_uids is None:
            return
        with self._lock:
            last, numbers = self._read()
            kept = {name: uid for name, uid in numbers.items() if name in keep}
            if kept != numbers:
                self._write(last, kept)

    def _uid_of(self, name: str, uids: tuple[int, int]) -> int:
        last, numbers = self._read()
        first, end = uids[0], uids[1] + 1
        if first <= numbers.get(name, -1) < end:
            return numbers[name]
        begin = last + 1 if first <= last < end else first
        used = set(numbers.values())
        free = next((uid for uid in (*range(begin, end), *range(first, begin)) if uid not in used), None)
        if free is None:
            raise ServerUnavailable(
                f"all {end - first} user numbers of IOCMNG_PLUGIN_UIDS are in use; remove a plugin, or give more"
            )
        self._write(free, {**numbers, name: free})
        return free

    def _read(self) -> tuple[int, dict[str, int]]:
        try:
            kept: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            return int(kept["last"]), {str(name): int(uid) for name, uid in kept["uids"].items()}
        except FileNotFoundError:
            return -1, {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServerUnavailable(
                f"{self._file}, which says as which user each plugin runs, cannot be read: {error}. Restore it; where "
                "it is lost, remove it and the directories `work` and `values` beside it"
            ) from error

    def _write(self, last: int, numbers: dict[str, int]) -> None:
        staged = self._file.with_suffix(".new")
        try:
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                json.dump({"last": last, "uids": numbers}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            staged.replace(self._file)
        except OSError as error:
            raise ServerUnavailable(
                f"cannot keep in {self._file} as which user a plugin runs: {error.strerror}; see IOCMNG_PLUGIN_UIDS"
            ) from error


def user_named(name: str) -> pwd.struct_passwd:
    """Return a user of this machine.

    Raises:
        InvalidRequest: If there is none of this name, or it is root.
    """
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise InvalidRequest(f"IOCMNG_PLUGIN_USER: there is no user {name!r:.80} on this machine; make it") from None
    if user.pw_uid == 0:
        raise InvalidRequest(f"IOCMNG_PLUGIN_USER: {name} is root; name a user without rights")
    return user


def check_users(settings: Settings) -> None:
    """Find out whether plugins can have other users than the server, if they are to.

    Raises:
        InvalidRequest: If not; the sentence says what is missing.
    """
    if settings.plugin_user is None and settings.plugin_uids is None:
        return
    setting = "IOCMNG_PLUGIN_UIDS" if settings.plugin_user is None else "IOCMNG_PLUGIN_USER"
    if os.geteuid() != 0:
        raise InvalidRequest(
            f"{setting} needs a server that runs as root, the only one who can become another user; run it as root, or "
            "leave the setting out"
        )
    if settings.plugin_user is not None:
        user_named(settings.plugin_user)
    python = {Path(sys.prefix), Path(sys.base_prefix), Path(os.__file__).parent, Path(iocmng.__file__).parent}
    for what in (*python, settings.plugins_dir):
        if closed := _closed_part(what):
            raise InvalidRequest(
                f"{setting}: other users cannot enter {closed}, so a plugin could not read {what}; install Python and "
                "iocmng, and put IOCMNG_PLUGINS_DIR, where everybody may read"
            )


def _closed_part(path: Path) -> Path | None:
    """Return the directory on the way to a path that not everybody may enter, if there is one."""
    parts = [*reversed(path.resolve().parents), path.resolve()]
    return next((part for part in parts if part.is_dir() and not part.stat().st_mode & stat.S_IXOTH), None)
