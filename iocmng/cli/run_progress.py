"""Shows how a run gets on, on stderr: a bar on a terminal, else a line for each change until its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from iocmng.cli.output import Output, is_terminal, printable

Show = Callable[[Mapping[str, Any]], None]


@contextmanager
def shown_progress(output: Output) -> Iterator[Show]:
    """Return the function that is to be called with the run at each change."""
    if is_terminal(sys.stderr):
        with _bar() as show:
            yield show
    else:
        yield lambda run: None if run["ended_at"] else output.note(sentence(run))


def sentence(run: Mapping[str, Any]) -> str:
    """Return in a line how a run is getting on."""
    state = run["state"].replace("_", " ")
    progress = f", {run['progress']:.0f} %" if run["state"] == "running" and run["progress"] else ""
    message = f": {run['message']}" if run["message"] else ""
    return f"run {run['run_id']} of {run['job']}: {state}{progress}{message}"


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=100.0, message="")

        def show(run: Mapping[str, Any]) -> None:
            doing = f"{run['job']}, run {run['run_id']}: {run['state']}"
            message = printable(run["message"]).partition("\n")[0]
            progress.update(bar, description=doing, completed=run["progress"], message=message)

        yield show
