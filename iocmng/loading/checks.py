"""The checks that need no code to run: config and syntax. core.validation.STEPS names all of them in their order."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from iocmng.core.manifest import CONFIG_FILE_NAMES, Manifest
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.tree import walk

MAX_CONFIG_BYTES = 256 * 1024
MAX_SOURCE_BYTES = 2 * 1024 * 1024
MAX_FAILURES = 20
"""Files with a syntax error that are named."""


def read_manifest(directory: Path) -> Manifest:
    """Read and check the config file of a plugin, if it has one.

    Raises:
        PluginRejected: Step config.
    """
    found = [name for name in CONFIG_FILE_NAMES if (directory / name).is_file()]
    if not found:
        return Manifest()
    if len(found) > 1:
        raise _rejected(f"there are {' and '.join(found)}; keep one of them", found[1])
    file = directory / found[0]
    if file.stat().st_size > MAX_CONFIG_BYTES:
        raise _rejected(
            f"the file is larger than {MAX_CONFIG_BYTES // 1024} KiB; keep data in a file of its own", file.name
        )
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _rejected("the file is not UTF-8; save it in this encoding", file.name, line) from error
    return parse_manifest(text, file.name)


def check_syntax(directory: Path) -> None:
    """Compile every Python file without running it.

    Raises:
        PluginRejected: Step syntax, with one entry per file at fault.
    """
    sources = sorted(path for path in walk(directory) if path.suffix == ".py" and path.is_file())
    if not any(path.parent == directory for path in sources):
        raise PluginRejected.because(CheckFailure("syntax", _no_python_file(directory, sources)))
    failures: list[CheckFailure] = []
    for path in sources:
        if failure := _syntax_failure(path, path.relative_to(directory).as_posix()):
            failures.append(failure)
    if failures:
        raise PluginRejected.because(*failures[:MAX_FAILURES])


def _syntax_failure(path: Path, name: str) -> CheckFailure | None:
    if path.stat().st_size > MAX_SOURCE_BYTES:
        return CheckFailure(
            "syntax", f"the file is larger than {MAX_SOURCE_BYTES} bytes; keep data in other files", name
        )
    source = path.read_bytes()
    if b"\0" in source:
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        return CheckFailure("syntax", "the file holds a zero byte; save it as UTF-8 text", name, line)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        return CheckFailure("syntax", f"{type(error).__name__}: {error.msg}", name, error.lineno or None)
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return CheckFailure("syntax", f"Python cannot compile the file: {type(error).__name__} {error}".strip(), name)
    return None


def _no_python_file(directory: Path, sources: list[Path]) -> str:
    below = sorted({os.path.dirname(path.relative_to(directory)) for path in sources})[:10]  # noqa: PTH120
    hint = (
        f"; choose one of its directories with `path`: {', '.join(below)}" if below else "; set `path` to the plugin's"
    )
    return f"there is no Python file in the directory{hint}"


def _rejected(message: str, file: str, line: int | None = None) -> PluginRejected:
    return PluginRejected.because(CheckFailure("config", message, file, line))
