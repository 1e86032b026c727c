"""A source's credential, made ready for the processes of one fetch."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

from iocmng.core.source import GitSource, is_ssh_url, refused
from iocmng.loading.git_process import Access
from iocmng.loading.secret_file import secret_file
from iocmng.settings import Settings

_OPENSSH = b"openssh-key-v1\0"
_NO_CIPHER = b"\0\0\0\x04none"


@contextlib.contextmanager
def access_to(source: GitSource, credential: str | None, settings: Settings) -> Iterator[Access]:
    """Lend the access to a source's repository; the credential can be read as long as the block goes on.

    Raises:
        PluginRejected: If the credential has not the form of one, or the hosts are not known that may get it.
    """
    access = Access(known_hosts=settings.ssh_known_hosts, follows=settings.git_allow is None)
    if not credential:
        yield access
    elif source.uses_key:
        with secret_file(_key(credential)) as path:
            yield Access(None, path, _known_hosts(source, settings), access.follows)
    else:
        with secret_file(_pat(credential)) as path:
            yield Access(path, None, access.known_hosts, access.follows)


def _pat(credential: str) -> str:
    pat = credential.strip()
    if not pat.isprintable():
        raise refused("the `pat` holds a line break or another control character; give the token alone")
    return pat


def _key(credential: str) -> str:
    """Return a private key as ssh takes it: with plain line ends, also after the last line."""
    lines = credential.replace("\r\n", "\n").strip().split("\n")
    if not (lines[0].startswith("-----BEGIN ") and lines[0].endswith("PRIVATE KEY-----") and len(lines) > 2):
        raise refused(
            "the `ssh_key` is no private key: it begins with a line such as -----BEGIN OPENSSH PRIVATE KEY-----, and "
            "keeps its line breaks"
        )
    if _is_locked(lines):
        raise refused("the `ssh_key` has a passphrase, which nobody can type here; give one without any")
    return "\n".join(lines) + "\n"


def _is_locked(lines: list[str]) -> bool:
    """Tell whether a private key has a passphrase; ssh itself would only say that access was refused."""
    if "ENCRYPTED" in lines[0] or lines[1].startswith("Proc-Type:"):
        return True
    try:
        start = base64.b64decode(lines[1][:64])
    except ValueError:
        return False  # ssh says what is wrong with it
    return start.startswith(_OPENSSH) and not start.startswith(_OPENSSH + _NO_CIPHER)


def _known_hosts(source: GitSource, settings: Settings) -> Path:
    if not is_ssh_url(source.url):
        raise refused("an ssh key is for an ssh repository; give git_url as ssh://USER@HOST/PATH or USER@HOST:PATH")
    if settings.ssh_known_hosts is None:
        raise refused(
            "this server knows no ssh host keys, so it cannot tell the repository's host from another one: set "
            "IOCMNG_SSH_KNOWN_HOSTS to a file with the line that `ssh-keyscan HOST` prints, once it is checked"
        )
    return settings.ssh_known_hosts
