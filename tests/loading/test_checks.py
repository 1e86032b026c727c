"""The steps config and syntax."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading_support import TASK, Files, Store, only_failure, write_files

from iocmng.core.source import LocalSource
from iocmng.core.validation import STEPS
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.checks import MAX_SOURCE_BYTES
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


def rejection(files: Files, settings: Settings, store: Store) -> PluginRejected:
    write_files(settings.roots[0], files)
    with pytest.raises(PluginRejected) as caught:
        fetch(LocalSource(str(settings.roots[0])), None, settings)
    assert store.is_empty
    return caught.value


def failure_of(files: Files, settings: Settings, store: Store) -> CheckFailure:
    return only_failure(rejection(files, settings, store))


def test_names_of_the_steps():
    """The seven checks of the contract, in its order."""
    assert STEPS == ("clone", "dependencies", "config", "syntax", "import", "inheritance", "abstract methods")


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.yaml", "prefix: P\n"), ("config.yml", "\ufeffprefix: P\n"), ("config.json", '{"prefix": "P"}')],
)
def test_config_files(settings: Settings, name: str, text: str):
    """Each of the three names is read; a byte order mark does no harm."""
    write_files(settings.roots[0], {"monitor.py": TASK, name: text})
    assert fetch(LocalSource(str(settings.roots[0])), None, settings).manifest.prefix == "P"


def test_two_config_files(settings: Settings, store: Store):
    """Two config files are one too many; both are named."""
    failure = failure_of({"monitor.py": TASK, "config.yaml": "", "config.json": "{}"}, settings, store)
    assert (failure.step, failure.file) == ("config", "config.json")
    assert "config.yaml and config.json" in failure.message


def test_mistake_in_the_config(settings: Settings, store: Store):
    """A mistake is told with file and line."""
    failure = failure_of({"monitor.py": TASK, "config.yml": "prefix: P\nparameter: {}\n"}, settings, store)
    assert (failure.step, failure.file, failure.line) == ("config", "config.yml", 2)
    assert "did you mean 'parameters'" in failure.message


def test_large_config(settings: Settings, store: Store):
    """A config file is at most 256 KiB."""
    failure = failure_of({"monitor.py": TASK, "config.yaml": "# x\n" * 70_000}, settings, store)
    assert (failure.step, failure.file) == ("config", "config.yaml")
    assert "larger than 256 KiB" in failure.message


def test_config_that_is_no_text(settings: Settings, store: Store):
    """A config file in another encoding is told with its line."""
    failure = failure_of({"monitor.py": TASK, "config.yaml": b"a: 1\nb: \xff\n"}, settings, store)
    assert (failure.step, failure.file, failure.line) == ("config", "config.yaml", 2)
    assert "not UTF-8; save it" in failure.message


def test_config_comes_before_syntax(settings: Settings, store: Store):
    """Of two failing steps the first is told."""
    assert failure_of({"monitor.py": "def", "config.yaml": "[]"}, settings, store).step == "config"


def test_syntax_errors_of_all_files(settings: Settings, store: Store):
    """Every file with a syntax error is told, with its line."""
    files = {"monitor.py": TASK, "a.py": "x = 1\ndef f(:\n", "lib/b.py": "x = 1\n\nreturn 1\n"}
    failures = rejection(files, settings, store).failures
    assert [(entry.step, entry.file, entry.line) for entry in failures] == [
        ("syntax", "a.py", 2),
        ("syntax", "lib/b.py", 3),
    ]
    assert "SyntaxError" in failures[0].message


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        (b"x = 1\ny = '\0'\n", 2, "zero byte"),
        (b"x = 1\ny = '\xff'\n", None, "utf-8"),
        (b"# coding: klingon\n", None, "klingon"),
        (b"if x:\n  a\n\tb\n", 3, "TabError"),
        (b"x = " + b"-" * 200_000 + b"1\n", None, ""),
        (b"x = " + b"(" * 5_000 + b")" * 5_000, None, ""),
    ],
    ids=["zero byte", "encoding", "unknown encoding", "tabs", "deep minus", "deep brackets"],
)
def test_sources_that_python_cannot_compile(
    settings: Settings, store: Store, source: bytes, line: int | None, words: str
):
    """Whatever Python cannot compile is a failed check of that file, never a crash."""
    failure = failure_of({"monitor.py": TASK, "bad.py": source}, settings, store)
    assert (failure.step, failure.file) == ("syntax", "bad.py")
    assert line is None or failure.line == line
    assert words in failure.message


def test_huge_source(settings: Settings, store: Store):
    """A source file of many megabytes is data; it is not compiled."""
    failure = failure_of({"monitor.py": TASK, "data.py": b"#" * (MAX_SOURCE_BYTES + 1)}, settings, store)
    assert (failure.step, failure.file) == ("syntax", "data.py")


def test_no_python_file(settings: Settings, store: Store):
    """A directory without a Python file is rejected, and the directories that have one are named."""
    failure = failure_of({"README.md": "", "plugins/a/a.py": TASK, "plugins/b/b.py": TASK}, settings, store)
    assert failure.step == "syntax"
    assert "no Python file in the directory; choose one of its directories with `path`: plugins/a, plugins/b" in (
        failure.message
    )


def test_code_is_not_run(settings: Settings, tmp_path: Path):
    """Fetching compiles the plugin and runs none of it."""
    write_files(settings.roots[0], {"monitor.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n" + TASK})
    fetch(LocalSource(str(settings.roots[0])), None, settings)
    assert not (tmp_path / "ran").exists()
