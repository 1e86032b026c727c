"""Where a command prints: the answer on stdout, all else on stderr. Rich draws only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from iocmng.errors import IocmngError

GAP = "  "


class Output:
    """Prints one command's answer and messages.

    Attributes:
        as_json: Whether stdout gets the API's objects and nothing else.
        follows: Whether more than one object may come, so that each stands on one line, an error's too.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.follows = False

    def object(self, told: Any) -> None:
        """Print an object of the API as JSON."""
        indent = None if self.follows else 2
        text = json.dumps(told, indent=indent, ensure_ascii=False)
        # What the locale's encoding cannot hold is written as \uXXXX, which is JSON, too.
        text = text if _can_write(text) else json.dumps(told, indent=indent)
        _write(sys.stdout, text)

    def line(self, text: str) -> None:
        """Print a line of the answer."""
        _write(sys.stdout, printable(text))

    def note(self, text: str) -> None:
        """Print a message for people, on stderr."""
        _write(sys.stderr, printable(text))

    def done(self, told: Mapping[str, Any]) -> None:
        """Print what a call answered that changed something: its sentence, or the object."""
        self.object(told) if self.as_json else self.line(str(told["message"]))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print rows below their heads; a terminal gets a table that fits it."""
        cells = [[printable(_cell(value)) for value in row] for row in rows]
        if is_terminal(sys.stdout):
            _draw(heads, cells)
            return
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        for row in [list(heads), *cells]:
            line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            _write(sys.stdout, line.rstrip())

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Print what there is to say of one thing, a line for each; what is empty is left out."""
        shown = {key: _cell(value) for key, value in facts.items() if value not in (None, "", {}, [])}
        width = max(map(len, shown), default=0) + 1
        for key, value in shown.items():
            self.line(f"{key + ':':<{width}} {value}")

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Show a spinner on a terminal while something takes its time."""
        if not is_terminal(sys.stderr):
            yield
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(doing)):
            yield


def print_error(error: IocmngError) -> None:
    """Print an error's sentence on stderr, and a line for each failed check that is more than the sentence."""
    message, listed = error.message, [str(failure) for failure in error.failures]
    joined = "; ".join(listed)
    if len(listed) > 1 and joined in message:
        message = message.replace(joined, f"{len(listed)} checks failed")
    else:
        listed = [str(failure) for failure in error.failures if failure.message not in message]
    _write(sys.stderr, printable("\n".join([f"iocmng: {message}", *(f"  {failure}" for failure in listed)])))


def is_terminal(stream: Any) -> bool:
    """Tell whether a person looks at a stream."""
    return stream.isatty()


def printable(text: str) -> str:
    """Return a text that cannot steer the terminal: what plugins have written is shown, not obeyed."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _draw(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a plugin's [words] are no markup
    Console().print(table)


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write(stream: Any, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(f"{text.encode(encoding, 'replace').decode(encoding)}\n")
    stream.flush()
