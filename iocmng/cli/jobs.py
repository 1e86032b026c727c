"""`iocmng job …`: runs of jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from iocmng.cli.completion import complete_job
from iocmng.cli.output import is_terminal
from iocmng.cli.parameters import parse_parameters
from iocmng.cli.plugins import ParamOption
from iocmng.cli.run_progress import sentence, shown_progress
from iocmng.cli.session import Session, with_server

app = typer.Typer(name="job", help="Run jobs, and look at their runs.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the job.", autocompletion=complete_job)]
INTERRUPTED = 130
"""Exit status of a command that Ctrl-C has ended: 128 and the number of SIGINT, as of any other program."""

RunArgument = Annotated[int, typer.Argument(metavar="RUN_ID", help="Number of the run.", min=0)]


@app.command()
@with_server
def run(
    session: Session,
    name: JobArgument,
    param: ParamOption = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that the run may take.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only start it, and print its number.")] = False,
) -> None:
    """Run a job, show its progress, and print its result; status 1 if it was no success, 130 after Ctrl-C."""
    started = session.client.submit_job(name, parse_parameters(param or ()), timeout=timeout)
    run_id = started["run_id"]
    if no_wait:
        session.output.object(started) if session.output.as_json else session.output.line(sentence(started["run"]))
        return
    try:
        with shown_progress(session.output) as show:
            ended = None
            for ended in session.client.follow_run(name, run_id):
                show(ended)
    except KeyboardInterrupt:
        if cancelled := _interrupted(session, name, run_id):
            _print_result(session, cancelled)
        raise typer.Exit(INTERRUPTED) from None
    if ended is None:
        raise typer.Exit(1)
    _print_result(session, ended)
    if ended["state"] != "success":
        raise typer.Exit(1)


@app.command()
@with_server
def runs(
    session: Session,
    name: JobArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of runs at most.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, help="Only runs with a lower number.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs that are kept, whatever --limit says.")] = False,
) -> None:
    """List the runs of a job, newest first."""
    told = session.client.runs(name, limit=limit, before=before)
    while everything and told["next"]:
        page = session.client.runs(name, limit=limit, before=told["runs"][-1]["run_id"])
        rows = [*told["runs"], *page["runs"]]
        told = {"runs": rows, "count": len(rows), "next": page["next"]}
    if session.output.as_json:
        session.output.object(told)
        return
    keys = ("run_id", "state", "progress", "who", "cause", "queued_at", "started_at", "ended_at")
    rows = [[*(one.get(key) for key in keys), one["message"].partition("\n")[0]] for one in told["runs"]]
    heads = ("RUN", "STATE", "PROGRESS", "WHO", "CAUSE", "QUEUED", "STARTED", "ENDED", "MESSAGE")
    session.output.table(heads, rows)
    if told["next"]:
        session.output.note(f"there are older ones: --before {told['runs'][-1]['run_id']}, or --all")


@app.command()
@with_server
def show(session: Session, name: JobArgument, run_id: RunArgument) -> None:
    """Show one run of a job, with its log lines."""
    told = session.client.get_run(name, run_id)
    if session.output.as_json:
        session.output.object(told)
        return
    session.output.facts({key.replace("_", " "): value for key, value in told.items() if key != "log"})
    for line in told["log"]:
        session.output.line(f"  {line}")


@app.command()
@with_server
def cancel(session: Session, name: JobArgument, run_id: RunArgument) -> None:
    """Cancel a run, and return when it has ended."""
    with session.output.busy(f"run {run_id} of {name} is being cancelled"):
        told = session.client.cancel_run(name, run_id)
    session.output.done(told)


def _interrupted(session: Session, name: str, run_id: int) -> Mapping[str, Any] | None:
    """Ask whether the run shall be cancelled too; return it if so."""
    can_ask = is_terminal(sys.stdin) and is_terminal(sys.stderr)
    if can_ask and _says_yes(f"Cancel run {run_id} of {name}, too? [y/N] "):
        session.client.cancel_run(name, run_id)
        return session.client.get_run(name, run_id)
    session.output.note(f"run {run_id} of {name} goes on; `iocmng job cancel {name} {run_id}` ends it")
    return None


def _says_yes(question: str) -> bool:
    # typer.confirm writes on stdout, too.
    sys.stderr.write(f"\n{question}")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


def _print_result(session: Session, run: Mapping[str, Any]) -> None:
    is_success, result = run["state"] == "success", run["result"]
    session.output.note(sentence(run) if is_success else f"iocmng: {sentence(run)}")
    if session.output.as_json:
        session.output.object(run)
        return
    if is_success and result["message"]:
        session.output.line(result["message"])
    if result and result["data"] is not None:
        session.output.line(json.dumps(result["data"], indent=2, ensure_ascii=False))
