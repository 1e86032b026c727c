"""Reads the pages of the documentation: fenced blocks, plugins that they show, and output as a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)(?: +title=\"(?P<title>[^\"]+)\")?(?P<rest>.*)$")

# What differs from one day and machine to the next, and the word that stands for it on both sides.
_VARIABLE = (
    (re.compile(r"\b[0-9a-f]{40}\b|\b(?=\d*[a-f])[0-9a-f]{7}\b"), "COMMIT"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[+-]\d\d:\d\d|Z)?"), "TIME"),
    (re.compile(r"(_port\": |port )\d+"), r"\1PORT"),
    (re.compile(r"(\"run_id\": |\"run |&before=)\d+"), r"\1RUN"),
    (re.compile(r"(\"host\": \")[^\"]+"), r"\1HOST"),
    (re.compile(r" on [\w.-]+, CA"), " on HOST, CA"),
    (re.compile(r"\x1b\[[\d;]*m"), ""),
)


@dataclass(frozen=True)
class Block:
    """One fenced block. A title is the name of the file that the block shows."""

    page: str
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def head(self) -> str:
        """The first line, by which exceptions name a block."""
        return self.text.strip().partition("\n")[0]


def pages() -> list[Path]:
    """Return README.md and all pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page_name(page: Path) -> str:
    """Return how a page is called in messages."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks in their order."""
    found: list[Block] = []
    opened: tuple[int, re.Match[str]] | None = None
    body: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if opened is None:
            if match:
                opened, body = (number, match), []
        elif line.strip() == "```":
            start, fence = opened
            assert not fence["rest"].strip(), f"{page}:{start}: {fence['rest']!r} is not understood"
            text = "".join(f"{row.removeprefix(fence['indent'])}\n" for row in body)
            found.append(Block(page_name(page), start, fence["language"], fence["title"], text))
            opened = None
        else:
            body.append(line)
    assert opened is None, f"{page}: a block is not closed"
    return found


def all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in pages() for block in blocks(page)]


def shown_plugins() -> dict[str, dict[str, str]]:
    """Return the plugins that pages show, as files by directory: titles such as `pump/pump.py` name both."""
    plugins: dict[str, dict[str, str]] = {}
    for block in all_blocks():
        if block.title and "/" in block.title:
            directory, _, file = block.title.partition("/")
            plugins.setdefault(f"{block.page}/{directory}", {})[file] = block.text
    return {name: files for name, files in plugins.items() if any(file.endswith(".py") for file in files)}


def _plain(text: str) -> Iterator[str]:
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    yield from (" ".join(line.split()) for line in text.splitlines())


def shows(expected: str, actual: str) -> bool:
    """Tell whether an output is what a page shows; `...` stands for anything in a line, on its own for any lines."""
    rows = [
        r"(?:.*\n)*?" if line == "..." else f"{re.escape(line).replace(re.escape('...'), '.*?')}\n"
        for line in _plain(expected.strip("\n"))
    ]
    output = "".join(f"{line}\n" for line in _plain(actual.strip("\n")))
    return re.fullmatch("".join(rows), output) is not None
