"""The lines of a requirements.txt, read and checked before anything is installed.

Only what was read here reaches the installer: included files become part of the one file that it is given, so that it
opens no file which a line names, and quotes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from iocmng.core.git_allow import check_allowed
from iocmng.core.source import check_git_url
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.base_environment import parse_requirement
from iocmng.loading.places import allowed_directory
from iocmng.settings import Settings

FILE_NAME = "requirements.txt"
MAX_BYTES = 256 * 1024
MAX_CHARACTERS = 8192
"""Characters of a line; one with many hashes has thousands."""
MAX_FILES = 20
"""Files that include each other."""

_COMMENT = re.compile(r"(^|\s)#.*$")
_OPTION = re.compile(r"(?P<name>--?[A-Za-z][A-Za-z0-9-]*)(?:(?:\s*=\s*|\s+)(?P<value>[^\s=]\S*))?\Z")
_HASHES = re.compile(r"(\s+--hash(=|\s+)[a-z0-9]+:[0-9a-fA-F]+)*\Z")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):")
_ARCHIVES = (".whl", ".tar.gz", ".zip")

_FILES = {"-r": False, "--requirement": False, "-c": True, "--constraint": True}
"""Options that include a file, and whether it holds constraints."""

_PLACES = frozenset({"-i", "--index-url", "--extra-index-url", "-f", "--find-links"})
_WORDS = frozenset({"--no-binary", "--only-binary"})
_FLAGS = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement or option, continuation lines joined.

    Attributes:
        number: Line it begins at, counted from 1.
        file: The file it stands in, by its path in the plugin's directory.
        is_constraint: Whether it limits what is installed, and asks for nothing.
    """

    number: int
    text: str
    file: str = FILE_NAME
    is_constraint: bool = False

    @property
    def is_option(self) -> bool:
        """Whether it is an option for the installer."""
        return self.text.startswith("-")

    @property
    def names_local_file(self) -> bool:
        """Whether its meaning depends on a file beside it."""
        if self.is_option:
            option = _OPTION.match(self.text)
            return bool(option and option["name"] in _PLACES and _is_relative(option["value"] or ""))
        place = _place(self.text)
        return _is_relative(place) and (place.startswith(".") or "/" in place or place.endswith(_ARCHIVES))


def read_lines(path: Path, settings: Settings) -> list[Line]:
    """Return all lines of a requirements file that say something, those of included files in their place.

    Raises:
        PluginRejected: Step dependencies, for what cannot be read, is no business of a plugin, or leaves its directory.
    """
    return list(_lines(path.parent, FILE_NAME, False, settings, set()))


def rejected(message: str, line: Line | int | None = None) -> PluginRejected:
    """Return the error of a failed check of the step dependencies."""
    if isinstance(line, Line):
        return PluginRejected.because(CheckFailure("dependencies", message, line.file, line.number))
    return PluginRejected.because(CheckFailure("dependencies", message, FILE_NAME, line))


def _lines(root: Path, name: str, constraint: bool, settings: Settings, seen: set[tuple[str, bool]]) -> Iterator[Line]:
    if len(seen) >= MAX_FILES:
        raise rejected(f"more than {MAX_FILES} files include each other; write them into one")
    seen.add((name, constraint))
    for line in _read(root / name, name):
        included = _included(line)
        if included is None:
            _check(line, constraint, settings)
            yield replace(line, is_constraint=constraint)
            continue
        inner, is_constraint = included
        if not (root / inner).is_file():
            raise rejected(f"there is no file {inner!r} in the plugin's directory", line)
        if (inner, constraint or is_constraint) not in seen:
            yield from _lines(root, inner, constraint or is_constraint, settings, seen)


def _read(path: Path, name: str) -> Iterator[Line]:
    """Yield the lines of one file that say something."""
    if path.stat().st_size > MAX_BYTES:
        raise rejected(f"the file {name} is larger than {MAX_BYTES // 1024} KiB; list packages only")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise rejected(f"the file {name} is not UTF-8; save it in this encoding") from error
    begun: Line | None = None
    for number, piece in enumerate(text.splitlines(), 1):
        words = _COMMENT.sub("", piece).strip()
        line = Line(begun.number, f"{begun.text} {words}", name) if begun else Line(number, words, name)
        begun = replace(line, text=line.text[:-1].strip()) if line.text.endswith("\\") else None
        if begun is None and line.text.strip():
            yield replace(line, text=line.text.strip())
    if begun and begun.text:
        yield begun


def _included(line: Line) -> tuple[str, bool] | None:
    """Return the file that a line includes and whether it holds constraints; None for another line."""
    option = _OPTION.match(line.text)
    if option is None or option["name"] not in _FILES:
        return None
    place = option["value"] or ""
    below = Path(line.file).parent / place
    if not _is_relative(place) or not _stays_inside(below.as_posix()):
        raise rejected(
            f"{option['name']} {place[:80]!r} leaves the plugin's directory; put the file beside this one and name it "
            "without '..'",
            line,
        )
    return below.as_posix(), _FILES[option["name"]]


def _check(line: Line, constraint: bool, settings: Settings) -> None:
    if len(line.text) > MAX_CHARACTERS:
        raise rejected(f"the line has more than {MAX_CHARACTERS} characters; write one requirement per line", line)
    if not line.text.isprintable():
        raise rejected("the line holds a control character; write one requirement per line", line)
    if "${" in line.text:
        raise rejected(
            "the line asks for a variable of the server's environment, which is not given to plugins; have the package "
            "index configured on the server (UV_DEFAULT_INDEX, UV_INDEX)",
            line,
        )
    if line.is_option:
        _check_option(line, constraint, settings)
    else:
        requirement, dashes, hashes = line.text.partition(" --")
        if dashes and not _HASHES.match(f"{dashes}{hashes}"):
            raise rejected(f"only --hash may stand behind a requirement, not --{hashes[:60]}", line)
        if (place := _place(requirement)) and not _is_plain_name(requirement):
            _check_place(place, line, settings)


def _check_option(line: Line, constraint: bool, settings: Settings) -> None:
    if line.text.startswith(("-e", "--editable")):
        raise rejected(
            "an editable installation has no place in a plugin; name the package or its path without -e", line
        )
    option = _OPTION.match(line.text)
    name, value = (option["name"], option["value"]) if option else (line.text.split()[0], None)
    takes_value = name in _PLACES | _WORDS
    known = takes_value or name in _FLAGS
    if option is None or constraint or not known or takes_value is not bool(value):
        possible = ", ".join(sorted(name for name in {*_FILES, *_PLACES, *_WORDS, *_FLAGS} if name.startswith("--")))
        raise rejected(
            f"the option {line.text[:60]!r} has no place in a plugin's requirements; possible are, one on a line: "
            f"{possible}",
            line,
        )
    if name in _PLACES:
        assert value is not None
        _check_place(value, line, settings)


def _check_place(place: str, line: Line, settings: Settings) -> None:
    """Check where packages are taken from: the web, or a place on this machine that plugins may come from."""
    scheme = _SCHEME.match(place)
    word = scheme["scheme"].lower() if scheme else ""
    try:
        if word.startswith("git+"):
            _check_repository(place[len("git+") :], line, settings)
        elif word == "file":
            path = unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", place, flags=re.IGNORECASE))
            _check_path(path.partition("#")[0], settings)
        elif word in ("http", "https"):
            return
        elif word:
            raise rejected(f"{word}: is no place for packages; use https, git+https, git+ssh or a path", line)
        else:
            _check_path(place, settings)
    except PluginRejected as error:
        if error.failures[0].step == "dependencies":
            raise
        raise rejected(error.failures[0].message, line) from error


def _check_repository(url: str, line: Line, settings: Settings) -> None:
    """Check a repository of a requirement like that of a plugin."""
    address = url.partition("#")[0]
    start = address.find("/", address.find("://") + 3)
    if start > 0:
        address = address[:start] + address[start:].partition("@")[0]
    if address.startswith("file:"):
        _check_path(unquote(address.removeprefix("file://")), settings)
        return
    if not address.startswith(("https://", "ssh://")):
        raise rejected("a requirement may come from git+https or git+ssh, and from no other kind of repository", line)
    if "@" not in address or address.startswith("ssh://"):
        check_git_url(address)
    else:
        raise rejected("the repository's URL holds a credential; a requirements file is no place for one", line)
    if settings.git_allow is not None:
        check_allowed(address, settings.git_allow)


def _check_path(place: str, settings: Settings) -> None:
    if _is_relative(place) and _stays_inside(place):
        return
    allowed_directory(place, settings, "the path")


def _place(text: str) -> str:
    """Return the URL or path that a requirement names, else its words."""
    parsed = parse_requirement(text)
    if parsed is not None:
        return parsed.url or parsed.name
    words = text.partition(" ;")[0].strip()
    if "@" in words and "://" not in words.partition("@")[0]:
        return words.partition("@")[2].strip()
    return words


def _is_plain_name(text: str) -> bool:
    parsed = parse_requirement(text)
    return parsed is not None and not parsed.url


def _is_relative(place: str) -> bool:
    if place.lower().startswith("file:"):
        return not place.lower().startswith("file:/")
    return bool(place) and not _SCHEME.match(place) and not place.startswith(("/", "~"))


def _stays_inside(place: str) -> bool:
    """Tell whether a relative path cannot lead out of where it is taken from; links of the tree do not either."""
    return ".." not in unquote(place).replace("\\", "/").split("/")
