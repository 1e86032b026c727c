"""Where a plugin's code comes from. A source never holds a credential, only says that there is one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from iocmng.errors import CheckFailure, PluginRejected

SCP_LIKE = re.compile(r"^(?P<user>[A-Za-z0-9_.-]+)@(?P<host>[A-Za-z0-9.][A-Za-z0-9.-]*):(?P<path>[^-\s][^\s]*)$")
_COMMIT = re.compile(r"^[0-9a-f]{7,64}\Z")
# The rules of git-check-ref-format(1), as what must not occur.
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[-/.]|[/.]$|^@?$")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class GitSource:
    """A directory in a git repository.

    Attributes:
        url: https://, ssh://, user@host:path, file:// or a path on the server.
        path: Directory inside the repository; "" is its root.
        branch: Branch or tag; None is the repository's default branch.
        commit: Commit to use instead of the branch's newest.
        has_credential: Whether a PAT or an ssh key was given for it.
        credential_file: Name of the file in the secrets directory that holds it, where it was given that way.
        uses_key: Whether the credential is an ssh key.
        require_signed: Whether it is taken only with a signature, also where the server takes others without.
    """

    url: str
    path: str = ""
    branch: str | None = None
    commit: str | None = None
    has_credential: bool = False
    credential_file: str | None = None
    uses_key: bool = False
    require_signed: bool = False


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A directory on the server's machine.

    Attributes:
        directory: Absolute, or relative to the server's working directory.
        path: Directory below it; "" is the directory itself.
    """

    directory: str
    path: str = ""


Source = GitSource | LocalSource


def refused(message: str) -> PluginRejected:
    """Return the error of a source that must not be fetched."""
    return PluginRejected.because(CheckFailure("clone", message))


def check_source(source: Source) -> None:
    """Check everything about a source that can be checked without touching it.

    Raises:
        PluginRejected: For what could make git do more than fetch, or leave the tree.
    """
    check_path(source.path)
    if isinstance(source, GitSource):
        check_git_url(source.url)
        if source.branch is not None and _BAD_REF.search(source.branch):
            raise refused(f"{source.branch[:80]!r} is no legal name of a branch or tag")
        if source.commit is not None and not _COMMIT.match(source.commit):
            raise refused(f"{source.commit[:80]!r} is no commit: give 7 to 64 hexadecimal digits in lower case")
    elif _UNPRINTABLE.search(source.directory):
        raise refused(f"local_path {source.directory[:80]!r} holds a control character")


def check_path(path: str) -> None:
    """Check the directory inside a repository: relative, and never upwards."""
    parts = path.split("/")
    if path.startswith(("/", "~", "-")) or "\\" in path or _UNPRINTABLE.search(path) or {"..", ".git"} & set(parts):
        raise refused(f"path {path[:80]!r} must be a directory inside the repository: relative, without '..'")


def check_git_url(url: str) -> None:
    """Check the form of a repository's URL.

    Only https, ssh and files are taken. In particular no `ext::` (it runs a command), no `http` (it shows the
    credential), and nothing that git would read as an option.
    """
    if not url or url.startswith("-") or any(map(str.isspace, url)) or _UNPRINTABLE.search(url):
        raise refused("git_url must be a URL without blanks that does not begin with '-'")
    if "::" in url.partition("/")[0]:
        raise refused(
            f"git_url names the transport helper {url.partition('::')[0][:80]!r}; use https, ssh or a file path"
        )
    if "://" not in url and not SCP_LIKE.match(url) and ":" in url.partition("/")[0]:
        # git would take it for HOST:PATH, or for a user and a password; it is not repeated, it may hold a credential.
        raise refused("git_url has a ':' before the first '/'; use https://, ssh://, USER@HOST:PATH or a file path")
    if SCP_LIKE.match(url) or is_file_url(url):
        return
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise refused("git_url is no legal URL: its host name has characters that do not belong there") from error
    if parts.scheme not in ("https", "ssh"):
        raise refused(f"git_url has the scheme {parts.scheme[:80] or 'none'!r}; use https, ssh or a file path")
    if not parts.hostname or parts.hostname.startswith("-") or parts.netloc.startswith("-"):
        raise refused("git_url has no host name")
    if "%" in parts.netloc:  # git decodes it before it looks for the host, and would go to another one
        raise refused("git_url has a '%' before its path; write user and host as they are")
    if parts.password or (parts.scheme == "https" and parts.username):
        raise refused("git_url holds a credential; put it into `pat`, where it is kept secret")


def is_ssh_url(url: str) -> bool:
    """Tell whether a repository is reached by ssh."""
    return url.startswith("ssh://") or SCP_LIKE.match(url) is not None


def is_file_url(url: str) -> bool:
    """Tell whether a repository lies on the server's own machine."""
    return url.startswith(("file://", "/", "./", "../", "~")) or ("://" not in url and not SCP_LIKE.match(url))


def file_url_path(url: str) -> str:
    """Return the directory that a file URL names."""
    return url.removeprefix("file://")
