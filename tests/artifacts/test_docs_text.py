"""What holds for all of the documentation: links lead somewhere, nothing is told twice, no machine shows through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs_blocks import ROOT, page_name, pages

from iocmng import __version__

WRITTEN = [*pages(), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]

_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_MACHINE = re.compile(r"/work/|/home/\w|/root/|/tmp/|/Users/|pypi\.org|pythonhosted|index-url")


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = [match["text"] for match in _HEADING.finditer(prose(page))]
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


def broken(page: Path, target: str) -> bool:
    """Tell whether a link inside the repository leads nowhere."""
    if "://" in target or target.startswith("mailto:"):
        return False
    file, _, anchor = target.partition("#")
    place = (page.parent / file).resolve() if file else page
    if not place.is_file() and not place.is_dir():
        return True
    return bool(anchor) and place.suffix == ".md" and anchor not in anchors(place)


@pytest.mark.parametrize("page", WRITTEN, ids=page_name)
def test_links_lead_somewhere(page):
    """Each link to a file of the repository or to a heading finds it."""
    targets = [match["target"] for match in _LINK.finditer(prose(page))]
    assert [target for target in targets if broken(page, target)] == []


@pytest.mark.parametrize("page", WRITTEN, ids=page_name)
def test_no_machine_shows_through(page):
    """No page names a directory of the machine it was written on, or the host of a package index."""
    assert _MACHINE.findall(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_the_version_is_not_repeated(page):
    """The version stands in the package and in the changelog; a page that repeats it is wrong at the next release."""
    release = __version__.partition(".dev")[0]
    assert not re.search(rf"(?<![\d.]){re.escape(release)}(?![\d.]\d)", page.read_text(encoding="utf-8"))


def test_the_changelog_names_the_version():
    """The changelog has a section for this version, or tells under Unreleased that it will be this one."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    release, is_development, _ = __version__.partition(".dev")
    assert release in text
    assert is_development or f"## [{release}]" in text


def test_the_navigation_names_every_page():
    """mkdocs.yml lists each page of docs/, and no other."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed: list[str] = []
    waiting = list(settings["nav"])
    while waiting:
        item = waiting.pop()
        match item:
            case str():
                listed.append(item)
            case list():
                waiting += item
            case dict():
                waiting += item.values()
    assert sorted(listed) == sorted(page_name(page).removeprefix("docs/") for page in pages()[1:])


def test_the_site_is_built_without_a_warning_or_the_network(tmp_path):
    """`mkdocs build --strict` succeeds, and no page loads anything from another host."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = re.compile(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//|<link[^>]+href=\"(?:https?:)?//")
    strange = [page.name for page in (tmp_path / "site").rglob("*.html") if loaded.search(page.read_text("utf-8"))]
    assert strange == []


@pytest.mark.parametrize("page", ["security", "reliability"])
def test_each_promise_names_a_test_that_there_is(page):
    """Every row of a table of promises ends with tests, by file or by function, that can be run."""
    files = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")}
    lines = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| ---", "| Promise", "| Fault"))]
    assert len(rows) > 10
    missing = []
    for row in rows:
        named = re.findall(r"`([^`]*::test_\w+|test_\w+\.py)`", row.rstrip("|").rpartition(" | ")[2])
        file = ""
        for name in named:
            file = name.partition("::")[0] or file
            function = name.partition("::")[2]
            if file not in files or (function and f"def {function}(" not in files[file]):
                missing.append(name)
        if not named:
            missing.append(row)
    assert missing == []
