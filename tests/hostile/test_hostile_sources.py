"""Where a plugin is said to come from: no spelling makes git do more than fetch, or leave the allowed places."""

from __future__ import annotations

from typing import Any

import pytest
from hostile_support import Row, Watched

pytestmark = pytest.mark.thorough


def url(text: str, words: str, status: int = 422, **more: Any) -> Row:
    """Return the row of a repository's URL."""
    return Row(words, status, {"git_url": text, **more}, step="clone")


NO_OPTION = "does not begin with '-'"
HELPER = "transport helper"
CREDENTIAL = "put it into `pat`"
PLACE = "path"

URLS = {
    "option as URL": url("--upload-pack=touch /tmp/owned", NO_OPTION),
    "short option as URL": url("-oProxyCommand=id", NO_OPTION),
    "option with blanks as URL": url("--upload-pack=touch${IFS}/tmp/owned", NO_OPTION),
    "ext": url("ext::sh", HELPER),
    "ext with a command": url("ext::sh${IFS}-c${IFS}id", HELPER),
    "ext in capitals": url("EXT::sh", HELPER),
    "fd": url("fd::17", HELPER),
    "remote helper before https": url("https::https://localhost:1/x", HELPER),
    "helper with a slash": url("x::/etc", HELPER),
    "http": url("http://localhost:1/x", "use https"),
    "git protocol": url("git://localhost:1/x", "use https"),
    "ftp": url("ftp://localhost:1/x", "use https"),
    "javascript": url("javascript:alert(1)", "before the first '/'"),
    "data": url("data:text/plain,hello", "before the first '/'"),
    "file of passwords": url("file:///etc/passwd", "IOCMNG_GIT_ALLOW"),
    "file root": url("file:///", "IOCMNG_GIT_ALLOW"),
    "file outside by dots": url("file:///tmp/../etc", "IOCMNG_GIT_ALLOW"),
    "file on a host": url("file://evil.example.org/x", "no repository", 502),
    "file by proc": url("file:///proc/self/root/etc", "IOCMNG_GIT_ALLOW"),
    "absolute path outside": url("/etc", "IOCMNG_GIT_ALLOW"),
    "relative path outside": url("../../../../../../etc", "IOCMNG_GIT_ALLOW"),
    "home of another": url("~root/x", "IOCMNG_GIT_ALLOW"),
    "user and password": url("https://user:pass@localhost:1/x", CREDENTIAL),
    "token as user": url("https://ghp_0123456789@localhost:1/x", CREDENTIAL),
    "password of ssh": url("ssh://git:pass@localhost:1/x", CREDENTIAL),
    "option as host of ssh": url("ssh://-oProxyCommand=id/x", "host"),
    "option as user of ssh": url("ssh://-oProxyCommand=id@localhost/x", "host"),
    "option as host, scp form": url("git@-oProxyCommand=id:x", "':' before the first"),
    "encoded host of ssh": url("ssh://%2doProxyCommand=id/x", "'%' before its path"),
    "encoded host": url("https://local%68ost:1/x", "'%' before its path"),
    "line break": url("https://localhost:1/x\nfoo", NO_OPTION),
    "carriage return": url("https://localhost:1/x\rfoo", NO_OPTION),
    "zero byte": url("https://localhost:1/x\0", NO_OPTION),
    "escape sequence": url("https://localhost:1/\x1b[31mx", NO_OPTION),
    "blank": url("https://localhost:1/x y", NO_OPTION),
    "blank of Unicode": url("https://localhost:1/x\u00a0y", NO_OPTION),
    "half a surrogate pair": Row("hex escape", 422, {"git_url": "https://localhost:1/\ud800"}),
    "homoglyph host": url("https://l\u043ecalhost:1/x", "IOCMNG_GIT_ALLOW"),
    "right-to-left override": url("https://localhost:1/\u202egpj.x", "IOCMNG_GIT_ALLOW"),
    "zero width joiner": url("https://local\u200dhost:1/x", "IOCMNG_GIT_ALLOW"),
    "full-width slash": url("https://localhost:1\uff0fx", "host name"),
    "backslash": url("https://localhost:1\\@evil.example.org/x", CREDENTIAL),
    "two hosts": url("https://localhost:1@evil.example.org/x", CREDENTIAL),
    "no host": url("https:///x", "no host"),
    "broken IPv6 host": url("https://[::1/x", "no legal URL"),
    "broken port": url("https://localhost:99999/x", "IOCMNG_GIT_ALLOW"),
    "a host that is not listed": url("https://127.0.0.1:1/x", "IOCMNG_GIT_ALLOW"),
    "address of cloud metadata": url("https://169.254.169.254/latest", "IOCMNG_GIT_ALLOW"),
    "fragment": url("https://localhost:1/x#y", "IOCMNG_GIT_ALLOW"),
    "query": url("https://localhost:1/x?service=git-receive-pack", "IOCMNG_GIT_ALLOW"),
    "nobody answers": url("https://localhost:1/x", "cannot fetch", 502),
    "nobody answers by ssh": url("ssh://localhost:1/x", "cannot fetch", 502),
    "too long": Row("git_url", 422, {"git_url": "https://localhost:1/" + "x" * 10_000}),
    "a number": Row("git_url", 422, {"git_url": 5}),
    "a list": Row("git_url", 422, {"git_url": ["https://localhost:1/x"]}),
    "URL and directory": Row("only one", 422, {"git_url": "https://localhost:1/x", "local_path": "/etc"}),
    "neither": Row("git_url or local_path", 422, {}),
    "empty": Row("git_url or local_path", 422, {"git_url": ""}),
    "pat for a directory": Row("belong to git_url", 422, {"local_path": "/etc", "pat": "x"}),
    "key for https": Row("ssh", 422, {"git_url": "https://localhost:1/x", "ssh_key": "x"}),
    "pat with a line break": url("https://localhost:1/x", "line break", pat="a\nusername=b"),
    "pat_file upwards": url("https://localhost:1/x", "IOCMNG_SECRETS_DIR", pat_file="../../etc/passwd"),
    "pat_file absolute": url("https://localhost:1/x", "IOCMNG_SECRETS_DIR", pat_file="/etc/passwd"),
}

DIRECTORIES = {
    "local: system": Row("IOCMNG_LOCAL_ROOTS", body={"local_path": "/etc"}, step="clone"),
    "local: root": Row("IOCMNG_LOCAL_ROOTS", body={"local_path": "/"}, step="clone"),
    "local: home": Row("IOCMNG_LOCAL_ROOTS", body={"local_path": "~"}, step="clone"),
    "local: home of nobody": Row("local_path", body={"local_path": "~no-such-user-at-all/x"}, step="clone"),
    "local: its own process": Row("IOCMNG_LOCAL_ROOTS", body={"local_path": "/proc/self/cwd/../.."}, step="clone"),
    "local: zero byte": Row("control character", body={"local_path": "/tmp/\0"}, step="clone"),
    "local: escape sequence": Row("control character", body={"local_path": "/tmp/\x1b[2J"}, step="clone"),
    "local: surrogate": Row("hex escape", body={"local_path": "/tmp/\udfff"}),
    "local: too long": Row("local_path", body={"local_path": "/" + "x" * 3000}),
    "local: long name": Row("IOCMNG_LOCAL_ROOTS", body={"local_path": "/tmp/" + "x" * 1000}, step="clone"),
    "local: a device": Row("IOCMNG_LOCAL_ROOTS", body={"local_path": "/dev/zero"}, step="clone"),
}


@pytest.mark.parametrize("case", URLS | DIRECTORIES)
def test_a_source_is_refused(watched: Watched, case: str):
    """A URL or directory that could do harm, or is not allowed, is refused with a word on what is."""
    row = (URLS | DIRECTORIES)[case]
    watched.check(watched.add(row), row)


BAD_PATHS = {
    "upwards": "../..",
    "absolute": "/etc",
    "down and up": "a/../../b",
    "backslash": "..\\..\\etc",
    "option": "--help",
    "home": "~/x",
    "git's own": ".git/hooks",
    "git's own below": "a/.git",
    "line break": "a\nb",
    "zero byte": "a\0b",
}


@pytest.mark.parametrize("by_git", [True, False], ids=["git", "local"])
@pytest.mark.parametrize("case", BAD_PATHS)
def test_a_path_out_of_the_source_is_refused(watched: Watched, case: str, by_git: bool):
    """`path` never leads out of the repository or directory, however it is spelt."""
    row = Row("inside the repository", body={"path": BAD_PATHS[case]}, files={}, by_git=by_git, step="clone")
    watched.check(watched.add(row), row)


MISSING_PATHS = {
    "encoded": "%2e%2e/%2e%2e/etc",
    "encoded twice": "%252e%252e",
    "full-width dots": "\uff0e\uff0e/etc",
    "not there": "a/b",
    "a file": "hostile.py",
    "long": "x/" * 500,
}


@pytest.mark.parametrize("by_git", [True, False], ids=["git", "local"])
@pytest.mark.parametrize("case", MISSING_PATHS)
def test_a_path_that_is_not_there_is_refused(watched: Watched, case: str, by_git: bool):
    """No second reading of a `path` finds a directory elsewhere."""
    row = Row("director", body={"path": MISSING_PATHS[case]}, files={}, by_git=by_git, step="clone")
    watched.check(watched.add(row), row)


REVISIONS: dict[str, tuple[dict[str, Any], str]] = {
    "option as branch": ({"branch": "--upload-pack=touch /tmp/owned"}, "no legal name"),
    "short option as branch": ({"branch": "-x"}, "no legal name"),
    "option as commit": ({"commit": "--upload-pack=id"}, "no commit"),
    "reference specification": ({"branch": "main:refs/heads/x"}, "no legal name"),
    "forced reference": ({"branch": "+main"}, "no branch or tag"),
    "expression of revisions": ({"branch": "main~1"}, "no legal name"),
    "reflog": ({"branch": "main@{1}"}, "no legal name"),
    "upwards": ({"branch": "../../x"}, "no legal name"),
    "pattern": ({"branch": "*"}, "no legal name"),
    "blank": ({"branch": "a b"}, "no legal name"),
    "line break": ({"branch": "main\nx"}, "no legal name"),
    "zero byte": ({"branch": "main\0"}, "no legal name"),
    "surrogate": ({"branch": "\ud800"}, "hex escape"),
    "right-to-left override": ({"branch": "\u202eniam"}, "no branch or tag"),
    "not there": ({"branch": "no-such-branch"}, "no branch or tag"),
    "long": ({"branch": "x" * 10_000}, "branch"),
    "commit is HEAD": ({"commit": "HEAD"}, "no commit"),
    "commit is an expression": ({"commit": "main^{tree}"}, "no commit"),
    "commit in capitals": ({"commit": "ABCDEF0123"}, "no commit"),
    "commit is too short": ({"commit": "abc"}, "no commit"),
    "commit with a line break": ({"commit": "0123456789\n"}, "no commit"),
    "commit is not there": ({"commit": "0123456789" * 4}, "no commit"),
    "commit is a number": ({"commit": 1234567}, "commit"),
}


@pytest.mark.parametrize("case", REVISIONS)
def test_a_revision_is_refused(watched: Watched, case: str):
    """A branch or commit is a name, never an option or an expression for git."""
    body, words = REVISIONS[case]
    row = Row(words, body=body, files={}, by_git=True)
    watched.check(watched.add(row), row)
