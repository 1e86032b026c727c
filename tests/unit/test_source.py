"""Where a plugin may come from: everything that could make git do more than fetch is refused."""

import contextlib

import pytest
from properties import given, st

from iocmng.core.source import (
    GitSource,
    LocalSource,
    check_git_url,
    check_path,
    check_source,
    file_url_path,
    is_file_url,
)
from iocmng.errors import PluginRejected

URL = "https://example.org/group/plugins.git"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

GOOD_URLS = [
    URL,
    "https://example.org:8443/~user/a.git",
    "https://[2001:db8::1]:8443/a.git",
    "https://example.org/a%20b.git",
    "ssh://git@example.org/group/a.git",
    "ssh://git@example.org:2222/group/a.git",
    "ssh://example.org/a.git",
    "git@github.com:infn-epics/plugins.git",
    "deploy-bot.1@git.example.org:a/b",
    "file:///srv/plugins",
    "/srv/plugins",
    "/srv/odd:name/plugins",
    "./plugins",
    "../plugins",
    "~/plugins",
    "plugins/mine",
]

HOSTILE_URLS = [
    "",
    "ext::sh -c touch% /tmp/owned",
    "ext::sh",
    "EXT::sh",
    "fd::17/foo",
    "fd::17",
    "transport::https://example.org/a",
    "https::https://example.org/a",
    "--upload-pack=touch /tmp/owned",
    "--upload-pack=/tmp/x",
    "-u/tmp/x",
    "-oProxyCommand=x@example.org:a",
    "git@-oProxyCommand=x:a",
    "git@-example:a",
    "git@example.org:-a",
    "ssh://-oProxyCommand=x/a",
    "ssh://-oProxyCommand=x@example.org/a",
    "ssh://git@-oProxyCommand=x/a",
    "http://example.org/a.git",
    "HTTP://example.org/a.git",
    "git://example.org/a.git",
    "ftp://example.org/a.git",
    "ftps://example.org/a.git",
    "rsync://example.org/a.git",
    "gopher://example.org/a",
    "javascript://example.org/a",
    "https://",
    "https:///a.git",
    "https://:443/a.git",
    "https://[/a.git",
    "https://exam\u2100ple.org/a.git",
    "ssh://",
    "https://user@example.org/a.git",
    "https://user:hunter2@example.org/a.git",
    "https://:hunter2@example.org/a.git",
    "ssh://git:hunter2@example.org/a.git",
    "user:hunter2@example.org:a.git",
    "host:a.git",
    "https:example.org/a.git",
    "https:/example.org/a.git",
    "C:\\plugins",
    "https://example.org/a.git\n--upload-pack=x",
    "https://example.org/a.git\n",
    "https://example.org/a\tb",
    "https://example.org/a b",
    "https://example.org/a\u00a0b",
    "https://example.org/\0",
    "https://example.org/\x1b[31m",
    "https://example.org/\x7f",
    "https://example.org/\ud800",
    " https://example.org/a",
    "/srv/plug ins",
    "/srv/plugins\n",
    "\n",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_https_ssh_and_files_are_taken(url):
    """The forms of the documentation pass."""
    check_source(GitSource(url))


@pytest.mark.parametrize("url", HOSTILE_URLS, ids=ascii)
def test_hostile_urls_are_refused_as_a_failed_clone(url):
    """Transport helpers, options, http, credentials in the URL and control characters never reach git."""
    with pytest.raises(PluginRejected) as caught:
        check_source(GitSource(url))
    (failure,) = caught.value.failures
    assert failure.step == "clone"
    assert "git_url" in failure.message


@pytest.mark.parametrize("url", ["ext::sh", "fd::17/foo", "https::https://example.org/a", "git@host::a"])
def test_a_transport_helper_is_called_what_it_is(url):
    """ext:: runs a command; the message names the helper."""
    with pytest.raises(PluginRejected, match=f"transport helper '{url.partition('::')[0]}'"):
        check_git_url(url)


@pytest.mark.parametrize("url", [url for url in HOSTILE_URLS if "hunter2" in url])
def test_a_credential_in_a_url_is_not_repeated(url):
    """The answer says where credentials belong and does not show the one that was sent."""
    with pytest.raises(PluginRejected) as caught:
        check_git_url(url)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=30))
def test_no_url_makes_the_check_fail_itself(url):
    """Whatever is sent, the check ends with yes or with PluginRejected."""
    try:
        check_git_url(url)
    except PluginRejected:
        return
    assert not url.startswith("-")
    assert not any(character.isspace() for character in url)


@given(st.sampled_from(["https://", "ssh://", "git@", "//", "file://"]), st.text("ab@:/[]-.%?#\u2100", max_size=12))
def test_no_url_with_a_scheme_makes_the_check_fail_itself(scheme, rest):
    """Brackets, colons and odd host names in a URL are refused, not raised by the parser."""
    with contextlib.suppress(PluginRejected):
        check_git_url(scheme + rest)


@pytest.mark.parametrize("path", ["", ".", "a", "src/monitor", "a-b_c.d/e f", "a/..b/c..", "gitlab/.github", "é"])
def test_paths_inside_the_repository_are_taken(path):
    """A relative directory passes, with dots in its names too."""
    check_path(path)


HOSTILE_PATHS = [
    "/etc",
    "/",
    "~",
    "~root/.ssh",
    "..",
    "../plugins",
    "a/..",
    "a/../../b",
    "a/../b",
    "-rf",
    "--help",
    "a\\b",
    "..\\b",
    ".git",
    ".git/hooks",
    "a/.git/hooks",
    "a\0b",
    "a\nb",
    "a\n",
    "\x1b[2J",
    "\ud800",
]


@pytest.mark.parametrize("path", HOSTILE_PATHS, ids=ascii)
@pytest.mark.parametrize("source", [lambda path: GitSource(URL, path), lambda path: LocalSource("/srv", path)])
def test_paths_that_leave_the_tree_are_refused(source, path):
    """Absolute paths, '..', home directories, options, .git and control characters, for every kind of source."""
    with pytest.raises(PluginRejected, match="clone: path "):
        check_source(source(path))


@pytest.mark.parametrize(
    "branch",
    [None, "main", "feature/new-pump", "v1.2.3", "2026.1", "release_1", "a@b", "user/é", "HEAD", "refs/heads/main"],
)
def test_branches_and_tags_are_taken(branch):
    """Names that git itself takes pass."""
    check_source(GitSource(URL, branch=branch))


HOSTILE_BRANCHES = [
    "",
    "--upload-pack=touch /tmp/owned",
    "-b",
    "main~1",
    "main^",
    "main^{}",
    "main:evil",
    "a:b",
    "a b",
    "main\n",
    "main\t",
    "a\0b",
    "a\x7fb",
    "a..b",
    "../main",
    "main@{1}",
    "@{-1}",
    "@",
    "ma?n",
    "ma*n",
    "ma[in",
    "ma\\in",
    "/main",
    "main/",
    "a//b",
    ".hidden",
    "a/.hidden",
    "main.",
    "main.lock",
    "a.lock/b",
    "\ud800",
]


@pytest.mark.parametrize("branch", HOSTILE_BRANCHES, ids=ascii)
def test_names_that_git_would_read_otherwise_are_refused(branch):
    """Options, revisions (~ ^ : ..), patterns and control characters are no branch."""
    with pytest.raises(PluginRejected, match="is no legal name of a branch or tag"):
        check_source(GitSource(URL, branch=branch))


@pytest.mark.parametrize("commit", [None, COMMIT, COMMIT[:7], "a" * 64])
def test_commits_are_taken(commit):
    """7 to 64 hexadecimal digits in lower case: short SHA, SHA-1, SHA-256."""
    check_source(GitSource(URL, commit=commit))


@pytest.mark.parametrize(
    "commit",
    [
        "",
        "abc123",
        "a" * 65,
        COMMIT.upper(),
        f"{COMMIT}\n",
        f" {COMMIT}",
        "HEAD",
        "main",
        "--help",
        "g" * 40,
        "\u0661" * 7,
    ],
    ids=ascii,
)
def test_what_is_no_commit_is_refused(commit):
    """Names, options, upper case and a trailing newline are no commit."""
    with pytest.raises(PluginRejected, match="is no commit: give 7 to 64 hexadecimal digits"):
        check_source(GitSource(URL, commit=commit))


@pytest.mark.parametrize("directory", ["/srv/plugins", "plugins", "~/plugins", "/srv/with blank/é"])
def test_local_directories_are_taken(directory):
    """Whether one lies below a local root is for the room that touches files."""
    check_source(LocalSource(directory))


@pytest.mark.parametrize("directory", ["/srv/\0", "/srv\n", "/srv/\ud800"], ids=ascii)
def test_local_directories_that_no_file_system_should_see_are_refused(directory):
    """Control characters and broken Unicode are refused before anything touches the disk."""
    with pytest.raises(PluginRejected, match="clone: local_path"):
        check_source(LocalSource(directory))


@pytest.mark.parametrize("url", GOOD_URLS)
def test_what_lies_on_the_servers_own_machine_is_known_from_the_url(url):
    """File URLs and paths are held against the local roots, everything else is not."""
    assert is_file_url(url) is (not url.startswith(("https://", "ssh://")) and "@" not in url)


@pytest.mark.parametrize(
    ("url", "path"), [("file:///srv/plugins", "/srv/plugins"), ("/srv/plugins", "/srv/plugins"), ("./a", "./a")]
)
def test_the_directory_of_a_file_url(url, path):
    """file:// is left out and the rest is the path."""
    assert file_url_path(url) == path


def test_long_texts_are_not_repeated_at_length():
    """A message never carries a megabyte back to the caller."""
    for source in (
        GitSource(URL, path="/" * 1_000_000),
        GitSource(URL, branch="~" * 1_000_000),
        GitSource(URL, commit="x" * 1_000_000),
        GitSource("x" * 1_000_000 + "://host"),
        GitSource("x" * 1_000_000 + "::host"),
        LocalSource("\0" * 1_000_000),
    ):
        with pytest.raises(PluginRejected) as caught:
            check_source(source)
        assert len(caught.value.message) < 600
