"""The lines of a requirements.txt: what is read, what is refused, and that nothing else reaches the installer."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading_support import write_files

from iocmng.errors import PluginRejected
from iocmng.loading.requirement_lines import MAX_CHARACTERS, read_lines
from iocmng.settings import Settings


@pytest.fixture
def plugin(sources: Path) -> Path:
    """The plugin's directory, below the local root."""
    return sources / "plugin"


def lines_of(plugin: Path, settings: Settings, text: str, **files: str) -> list[str]:
    write_files(plugin, {"requirements.txt": text, **{f"{name}.txt": more for name, more in files.items()}})
    return [line.text for line in read_lines(plugin / "requirements.txt", settings)]


def test_included_files_become_part_of_one(plugin: Path, settings: Settings):
    """Lines of included files stand in their place, with their own file and number; constraints are marked."""
    files = {"more.txt": "\n-r in/less.txt\nmore\n", "in/less.txt": "less\n", "pins.txt": "pin==1\n"}
    write_files(plugin, {"requirements.txt": "first\n-r more.txt\n-c pins.txt\nlast\n", **files})
    found = read_lines(plugin / "requirements.txt", settings)
    assert [(line.text, line.file, line.number, line.is_constraint) for line in found] == [
        ("first", "requirements.txt", 1, False),
        ("less", "in/less.txt", 1, False),
        ("more", "more.txt", 3, False),
        ("pin==1", "pins.txt", 1, True),
        ("last", "requirements.txt", 4, False),
    ]


def test_files_that_include_each_other_are_read_once(plugin: Path, settings: Settings):
    """A circle ends."""
    assert lines_of(plugin, settings, "-r more.txt\na\n", more="-r requirements.txt\nb\n") == ["b", "a"]


@pytest.mark.parametrize(
    "text",
    [
        *("six", "six>=1 ; python_version > '3'", "six[extra]==1.0", "six --hash=sha256:0af1 --hash sha256:0af2"),
        *("./x-1.0-py3-none-any.whl", "lib/", "x @ ./lib", "x @ file:lib", "https://example.org/x-1.0.tar.gz"),
        *("x @ https://example.org/x.whl#sha256=1", "x @ git+https://example.org/x@v1", "git+ssh://git@example.org/x"),
        *("--index-url https://example.org/simple", "-i https://example.org/simple", "--extra-index-url=https://e.org"),
        *("--no-index", "-f wheels", "--find-links ./wheels", "--pre", "--only-binary :all:", "--require-hashes"),
    ],
)
def test_what_may_stand_there(plugin: Path, settings: Settings, text: str):
    """Packages, their repositories and archives, and the options for an index are taken."""
    assert lines_of(plugin, settings, f"{text}\n") == [text]


def test_a_place_below_a_local_root(plugin: Path, settings: Settings, sources: Path):
    """What lies below a local root may be named by its whole path, as for local_path."""
    for text in (f"--find-links {sources}/wheels", f"file://{sources}/x.whl", f"x @ git+file://{sources}/repo@v1"):
        assert lines_of(plugin, settings, f"{text}\n") == [text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-r /etc/passwd", "leaves the plugin's directory"),
        ("-c ../pins.txt", "leaves the plugin's directory"),
        ("-r a/../../b.txt", "leaves the plugin's directory"),
        ("-r https://example.org/x.txt", "leaves the plugin's directory"),
        ("--find-links /usr/share", "IOCMNG_LOCAL_ROOTS"),
        ("file:///etc/passwd", "IOCMNG_LOCAL_ROOTS"),
        ("x @ file://localhost/etc/passwd", "IOCMNG_LOCAL_ROOTS"),
        ("x @ git+file:///etc", "IOCMNG_LOCAL_ROOTS"),
        ("../x.whl", "IOCMNG_LOCAL_ROOTS"),
        ("--trusted-host example.org", "has no place"),
        ("--no-index -r /etc/passwd", "has no place"),
        ("--no-index yes", "has no place"),
        ("--index-url", "has no place"),
        ("six -r /etc/passwd", ""),
        ("six --global-option=x", "only --hash"),
        ("x-${TOKEN}", "variable of the server's environment"),
        ("x @ git+https://user:pass@example.org/x", "holds a credential"),
        ("x @ hg+https://example.org/x", "no place for packages"),
        ("x\x00y\x1b", "control character"),
        ("x" * (MAX_CHARACTERS + 1), "one requirement per line"),
    ],
)
def test_what_leaves_the_plugin(plugin: Path, settings: Settings, text: str, words: str):
    """Files, variables and options of the server are refused with the line, and nothing of them is quoted."""
    if words:
        with pytest.raises(PluginRejected, match=words) as caught:
            lines_of(plugin, settings, f"first\n{text}\n")
        assert caught.value.failures[0].step == "dependencies"
        assert caught.value.failures[0].line == 2
        assert "root:" not in caught.value.message
    else:  # no requirement for the installer either, which refuses it
        assert lines_of(plugin, settings, f"first\n{text}\n") == ["first", text]


def test_repositories_obey_the_list(plugin: Path, settings: Settings):
    """A repository that a requirement names is one that plugins may come from, whatever the revision."""
    strict = settings.model_copy(update={"git_allow": ("https://example.org/controls/*",)})
    good = "x @ git+https://example.org/controls/x@v1#egg=x"
    assert lines_of(plugin, strict, f"{good}\n") == [good]
    with pytest.raises(PluginRejected, match="IOCMNG_GIT_ALLOW"):
        lines_of(plugin, strict, "x @ git+https://example.org/others/x@v1\n")
