"""What git says when a fetch fails, as one sentence that says what to do."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from iocmng.loading.git_process import CREDENTIAL_USER

MAX_QUOTED = 300

_BOILERPLATE = re.compile(r"Could not read from remote|Please make sure you have|and the repository exists|^[@ ]+$|^@ ")
_CREDENTIAL_IN_URL = re.compile(r"(?<!\bssh)://[^/@\s]+@|://[^/@\s:]*:[^/@\s]*@")
"""The user of an ssh address is none, as long as no password follows."""

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"load key .*(invalid format|error in libcrypto|incorrect passphrase)",
        "the ssh key cannot be used; give a private key without a passphrase, with all its lines",
    ),
    (
        r"requested url returned error: 30\d",
        "it leads on to another address, which is not followed where IOCMNG_GIT_ALLOW is set; give that address",
    ),
    (r"no space left|disk quota exceeded", "the disk of the server's state directory is full; free some space"),
    (
        r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied"
        r"|error: 40[13]|access denied|not authorized",
        "access was refused; give a `pat` that may read it (https), or an `ssh_key` or a key that the server's user "
        "has (ssh)",
    ),
    (
        r"dubious ownership|safe\.directory",
        "it belongs to another user, and git does not read it; give it to the server's user, or use `local_path`",
    ),
    (
        r"host identification has changed",
        "it shows another ssh host key than the known one, so it may not be the host that it seems to be, and got "
        "nothing; ask those who run it, and renew the line in the file of IOCMNG_SSH_KNOWN_HOSTS only if they have "
        "changed it",
    ),
    (
        r"host key verification failed",
        "the ssh host key is unknown; add it to the file of IOCMNG_SSH_KNOWN_HOSTS, or, where that is not set, to the "
        "known_hosts of the server's user",
    ),
    (
        r"certificate|ssl peer",
        "its certificate is not trusted; name the site's certificates with GIT_SSL_CAINFO in the server's environment",
    ),
    (r"could not resolve host", "its host name cannot be resolved; check git_url and the server's name service"),
    (
        r"not found|does not exist|does not appear to be a git repository|could not be found",
        "there is no repository there that can be read; check git_url, and whether it needs a `pat`",
    ),
    (r"transport '.*' not allowed", "it leads to another protocol; use https, ssh or a file path"),
    (r"", "check git_url and that the server can reach it"),
)


def explain(stderr: str, pat: str | None) -> str:
    """Return one sentence from git's error output: what to do, and git's own words without the credential."""
    text = scrub(stderr, pat)
    advice = next(advice for pattern, advice in _ADVICE if re.search(pattern, text, re.IGNORECASE))
    words = _own_words(text)
    return f"{advice} (git: {words})" if words else advice


def scrub(text: str, pat: str | None) -> str:
    """Take credentials out of a text: the PAT in every spelling in which git or curl may show it, and a proxy's."""
    text = _CREDENTIAL_IN_URL.sub("://***@", text)
    if not pat:
        return text
    basic = base64.b64encode(f"{CREDENTIAL_USER}:{pat}".encode()).decode()
    for secret in (basic, pat, quote(pat, safe="")):
        text = text.replace(secret, "***")
    return text


def _own_words(text: str) -> str:
    """Return the words that say most: what the remote answered, else git's complaint, else ssh's."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _BOILERPLATE.search(line)]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    fatal = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("fatal:", "error:"))]
    words = [word for word in (*remote[:2], *fatal[:1]) if word.strip("=- ")]
    text = "".join(letter if letter.isprintable() else " " for letter in " ".join(words or lines[:1]))
    return " ".join(text.split())[:MAX_QUOTED]
