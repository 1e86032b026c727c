"""IOCMNG_GIT_ALLOW: what is compared with the patterns is the repository that git would go to."""

import re
import string

import pytest
from properties import given, st

from iocmng.core.git_allow import Address, address_of, check_allowed, check_pattern
from iocmng.core.source import check_git_url
from iocmng.errors import PluginRejected

CONTROLS = "https://git.example.org/controls/*"


def is_allowed(url: str, *patterns: str) -> bool:
    try:
        check_git_url(url)
        check_allowed(url, patterns)
    except PluginRejected as error:
        (failure,) = error.failures
        assert failure.step == "clone"
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/controls/pump.git",
        "https://git.example.org/controls/",
        "https://GIT.Example.ORG/controls/pump.git",
        "https://git.example.org:443/controls/pump.git",
        "https://git.example.org/controls/group/pump.git",
        "https://git.example.org/c%6Fntrols/pump.git",
        "https://git.example.org/other/../controls/pump.git",
        "https://git.example.org/./controls/pump.git",
    ],
)
def test_every_spelling_of_an_allowed_repository_is_taken(url):
    """Case of the host, the scheme's own port, percent-encoding and `..` make no difference."""
    assert is_allowed(url, CONTROLS)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org.evil/controls/pump.git",
        "https://git.example.org@evil/controls/pump.git",
        "https://git.example.org:x@evil/controls/pump.git",
        "https://evil/git.example.org/controls/pump.git",
        "https://evil/https://git.example.org/controls/pump.git",
        "https://evil#@git.example.org/controls/pump.git",
        "https://evil?@git.example.org/controls/pump.git",
        "https://evil\\@git.example.org/controls/pump.git",
        "https://git.example.org\\@evil/controls/pump.git",
        "https://git.example.org%2F@evil/controls/pump.git",
        "https://git.example.org%00.evil/controls/pump.git",
        "https://git.example.org:8443/controls/pump.git",
        "https://git.example.org:0/controls/pump.git",
        "https://git.example.org:99999/controls/pump.git",
        "https://git.example.org./controls/pump.git",
        "https://\uff47it.example.org/controls/pump.git",
        "https://git\u3002example.org/controls/pump.git",
        "https://git.example.org/controls",
        "https://git.example.org/Controls/pump.git",
        "https://git.example.org/controls-evil/pump.git",
        "https://git.example.org/controls/../evil/pump.git",
        "https://git.example.org/controls/%2e%2e/evil/pump.git",
        "https://git.example.org/controls/%2E./evil/pump.git",
        "https://git.example.org/controls/x/../../evil/pump.git",
        "https://git.example.org/controls/..%2fevil/pump.git",
        "https://git.example.org/controls/%252e%252e/evil/pump.git",
        "https://git.example.org/controls/..\\evil/pump.git",
        "https://git.example.org/controls/..%5Cevil/pump.git",
        "https://git.example.org/controls//../evil.git",
        "https://git.example.org/evil%2F..%2Fcontrols/pump.git",
        "https://git.example.org/evil?/controls/pump.git",
        "https://git.example.org/evil#/controls/pump.git",
        "https://git.example.org//controls/pump.git",
        "https://git.example.org",
        "http://git.example.org/controls/pump.git",
        "ssh://git@git.example.org/controls/pump.git",
        "git@git.example.org:controls/pump.git",
        "file:///git.example.org/controls/pump.git",
        "/git.example.org/controls/pump.git",
    ],
)
def test_another_repository_is_refused_however_it_is_spelt(url):
    """Nothing in a user, a host, a port or a path lets another repository pass for an allowed one."""
    assert not is_allowed(url, CONTROLS)


@pytest.mark.parametrize(
    ("pattern", "url", "taken"),
    [
        ("ssh://git.example.org/controls/*", "git@git.example.org:controls/pump.git", True),
        ("ssh://git.example.org/controls/*", "git@git.example.org:/controls/pump.git", True),
        ("ssh://git.example.org/controls/*", "git@GIT.example.org:controls/pump.git", True),
        ("ssh://git.example.org/controls/*", "ssh://git@git.example.org:22/controls/pump.git", True),
        ("ssh://git.example.org/controls/*", "ssh://git.example.org/controls/pump.git", True),
        ("ssh://git.example.org:2222/controls/*", "ssh://git@git.example.org:2222/controls/pump.git", True),
        ("ssh://git.example.org/controls/*", "ssh://git@git.example.org:2222/controls/pump.git", False),
        ("ssh://git.example.org/controls/*", "git@git.example.org.evil:controls/pump.git", False),
        ("ssh://git.example.org/controls/*", "git.example.org@evil:controls/pump.git", False),
        ("ssh://git.example.org/controls/*", "ssh://git.example.org@evil/controls/pump.git", False),
        ("ssh://git.example.org/controls/*", "ssh://x%40evil%2f@git.example.org/controls/pump.git", False),
        ("ssh://git.example.org/controls/*", "git@git.example.org:controls/../evil.git", False),
        ("ssh://git.example.org/controls/*", "ssh://git@git.example.org/evil/../controls/pump.git", False),
        ("ssh://git.example.org/controls/*", "https://git.example.org/controls/pump.git", False),
        ("https://git.example.org/controls/pump.git", "https://git.example.org/controls/pump.git", True),
        ("https://git.example.org/controls/pump.git", "https://git.example.org/controls/pump.git/x", False),
        ("https://*.example.org/*", "https://git.example.org/a.git", True),
        ("https://*.example.org/*", "https://example.org/a.git", False),
        ("https://*.example.org/*", "https://evil/.example.org/a.git", False),
        ("https://git.example.org/pump-?.git", "https://git.example.org/pump-1.git", True),
        ("https://git.example.org/pump-[12].git", "https://git.example.org/pump-3.git", False),
        ("https://Git.Example.org:443/*", "https://git.example.org/a.git", True),
        ("https://[2001:db8::1]/*", "https://[2001:DB8::1]/a.git", True),
        ("https://git.example.org/with blank/*", "https://git.example.org/with%20blank/a.git", True),
        ("file:///srv/repositories/*", "/srv/repositories/a", True),
        ("file:///srv/repositories/*", "file:///srv/repositories/a", True),
        ("file:///srv/repositories/*", "file:///srv/repositories/../evil", False),
        ("file:///srv/repositories/*", "/srv/repositories/../evil", False),
        ("file:///srv/repositories/*", "repositories/a", False),
    ],
)
def test_patterns(pattern, url, taken):
    """A pattern names scheme, host, port and path; the forms of an ssh address are one."""
    assert is_allowed(url, pattern) is taken


def test_several_patterns_and_none():
    """One of several is enough; an empty list takes nothing. The refusal names the setting and the patterns."""
    assert is_allowed("https://b.example.org/a.git", "https://a.example.org/*", "https://b.example.org/*")
    with pytest.raises(PluginRejected, match=r"https://a\.example\.org/\*.*IOCMNG_GIT_ALLOW"):
        check_allowed("https://b.example.org/a.git", ["https://a.example.org/*"])
    assert not is_allowed("https://b.example.org/a.git")


@pytest.mark.parametrize(
    "pattern",
    [
        "git.example.org/*",
        "http://git.example.org/*",
        "*://git.example.org/*",
        "https://git.example.org",
        "https:///x",
        "https://user@git.example.org/*",
        "https://git.example.org:port/*",
        "https://git.example.org/a%20b/*",
        "https://git.example.org/../*",
        "https://git.ex[a]mple.org/*",
        "file://host/srv/*",
        "git@git.example.org:controls/*",
        "",
    ],
)
def test_a_pattern_that_could_not_match_is_wrong_usage(pattern):
    """What would silently match nothing, or something else than it says, is refused with a sentence."""
    with pytest.raises(ValueError, match=r"pattern|host|path"):
        check_pattern(pattern)


NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
HOSTILE = st.text(string.ascii_letters + "@:/.%\\?#[]*-_ 2fFeE05cC", max_size=40)


@given(NAMES, PATHS)
def test_a_repository_below_the_pattern_is_taken(host, path):
    """Every plain address below an allowed one is taken, with or without the port."""
    pattern = f"https://{host}.example.org/controls/*"
    assert is_allowed(f"https://{host}.example.org/controls/{path}", pattern)
    assert is_allowed(f"https://{host.upper()}.example.org:443/controls/{path}", pattern)


@given(HOSTILE, HOSTILE)
def test_what_matches_lies_on_the_host_and_below_the_path(before, after):
    """No text around an allowed address makes another one pass: what matches has this host, port and path."""
    for url in (
        f"https://{before}git.example.org{after}",
        f"https://git.example.org/controls/{after}",
        f"https://{before}@git.example.org/controls/{after}",
    ):
        if is_allowed(url, CONTROLS):
            assert re.match(r"https://(:?@)?git\.example\.org(:(0*443)?)?/", url.lower())
            address = address_of(url)
            assert address is not None
            assert (address.scheme, address.host, address.port) == ("https", "git.example.org", 443)
            assert address.path.startswith("/controls/")
            assert not {".", ".."} & set(address.path.split("/"))


@given(st.text(max_size=60))
def test_no_text_breaks_the_matcher(text):
    """Any text has an address or none; none is an error of another kind."""
    for url in (text, f"https://{text}", f"ssh://{text}", f"git@{text}", f"file://{text}"):
        found = address_of(url)
        assert found is None or isinstance(found, Address)


@given(PATHS)
def test_one_address_has_one_spelling(path):
    """An address that is written out in its one spelling is the same address again."""
    address = address_of(f"https://git.example.org/{path}")
    assert address is not None
    assert address_of(f"{address.scheme}://{address.host}:{address.port}{address.path}") == address
