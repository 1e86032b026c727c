"""The commands that look: logs, events, PVs, health."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from iocmng.cli.completion import complete_plugin
from iocmng.cli.plugins import NameArgument
from iocmng.cli.run_progress import sentence as run_sentence
from iocmng.cli.session import Session, with_server
from iocmng.core.name_servers import environment_lines

AnyNameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="Name of the plugin; all of them if not given.", autocompletion=complete_plugin
    ),
]
FollowOption = Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")]


@with_server
def logs(
    session: Session,
    name: NameArgument,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="Number of lines to begin with.")] = 100,
    follow: FollowOption = False,
) -> None:
    """Show a plugin's log lines."""
    session.output.follows = follow
    if not follow:
        told = session.client.logs(name, tail=tail)
        session.output.object(told) if session.output.as_json else _show_lines(session, told)
        return
    generation: int | None = None
    with suppress(KeyboardInterrupt):
        for page in session.client.follow_logs(name, tail=tail):
            if session.output.as_json:
                session.output.object(page)
            else:
                generation = _show_lines(session, page, generation)


@with_server
def events(session: Session, name: AnyNameArgument = None, follow: FollowOption = False) -> None:
    """Show what has happened to the plugins."""
    session.output.follows = follow
    told = session.client.events(name)
    if not follow:
        if session.output.as_json:
            session.output.object(told)
        else:
            for event in told["events"]:
                session.output.line(_sentence(event))
        return
    for event in told["events"]:
        _show_event(session, event)
    last = told["events"][-1]["id"] if told["events"] else 0
    with suppress(KeyboardInterrupt):
        for event in session.client.follow_events(name, after=last, runs=True):
            _show_event(session, event)


@with_server
def audit(
    session: Session,
    name: AnyNameArgument = None,
    who: Annotated[str | None, typer.Option(help="Only what this one has done.")] = None,
    what: Annotated[str | None, typer.Option(help="Only calls whose name begins so, such as `remove`.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this moment on, as in 2026-03-01T12:00.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of entries at most.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, help="Only entries with a lower number.")] = None,
) -> None:
    """Show who has changed what, newest first; for admins."""
    told = session.client.audit(name, who=who, what=what, since=since, limit=limit, before=before)
    if session.output.as_json:
        session.output.object(told)
        return
    keys = ("id", "time", "who", "door", "what", "plugin")
    rows = [[*(entry.get(key) for key in keys), _result(entry), entry["request"]] for entry in told["entries"]]
    session.output.table(("ID", "TIME", "WHO", "DOOR", "WHAT", "PLUGIN", "RESULT", "REQUEST"), rows)
    if told["next"]:
        session.output.note(f"there are older ones: --before {told['entries'][-1]['id']}")


@with_server
def pvs(
    session: Session,
    name: AnyNameArgument = None,
    name_servers: Annotated[
        bool, typer.Option("--name-servers", help="Print what clients set that no broadcast reaches, instead.")
    ] = False,
    whole_range: Annotated[
        bool, typer.Option("--whole-range", help="With --name-servers: all ports of IOCMNG_EPICS_PORTS on each node.")
    ] = False,
    inside: Annotated[
        bool, typer.Option("--inside", help="With --name-servers: nodes at their own addresses, not the public ones.")
    ] = False,
) -> None:
    """List the PVs and where they are served."""
    if name_servers or whole_range or inside:
        _show_name_servers(session, session.client.name_servers(name, whole_range=whole_range, inside=inside))
        return
    told = session.client.pvs(name)
    if session.output.as_json:
        session.output.object(told)
        return
    keys = ("name", "type", "direction", "plugin", "host", "ca_port", "pva_port")
    rows = [[pv.get(key) for key in keys] for pv in told["pvs"]]
    session.output.table(("PV", "TYPE", "DIRECTION", "PLUGIN", "HOST", "CA PORT", "PVA PORT"), rows)


@with_server
def health(session: Session) -> None:
    """Ask the server how it is."""
    told = session.client.health()
    if session.output.as_json:
        session.output.object(told)
        return
    counts = f"{told['tasks_count']} tasks, {told['jobs_count']} jobs"
    session.output.line(f"{told['status']}: iocmng {told['version']}, {counts}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (logs, events, audit, pvs, health):
        app.command()(command)


def _result(entry: Mapping[str, Any]) -> str:
    """Return how a call ended; the write of a PV has no status."""
    return " ".join(str(part) for part in (entry["status"], entry["code"]) if part is not None)


def _show_name_servers(session: Session, told: Mapping[str, Any]) -> None:
    if session.output.as_json:
        session.output.object(told)
        return
    for line in environment_lines(told):
        session.output.line(line)


def _show_lines(session: Session, page: Mapping[str, Any], generation: int | None = None) -> int | None:
    """Show lines, and where another generation begins than the one before; return that of the last line."""
    if page["missed"]:
        session.output.note("iocmng: some lines before these are missing: they are kept no longer")
    # A server of an older version does not tell the generations.
    for line, by in zip(page["lines"], page.get("generations") or [generation] * len(page["lines"]), strict=True):
        if by != generation and generation is not None:
            session.output.note(f"iocmng: generation {by} begins")
        generation = by
        session.output.line(line)
    return generation


def _show_event(session: Session, event: Mapping[str, Any]) -> None:
    if session.output.as_json:
        session.output.object(event)
    else:
        session.output.line(_sentence(event))


def _sentence(event: Mapping[str, Any]) -> str:
    if "run_id" in event:
        time = event["ended_at"] or event["started_at"] or event["queued_at"]
        return f"{time} {event['job']}: {run_sentence(event)}"
    change = f"{event['previous']} -> {event['status']}" if event["previous"] else event["status"]
    reason = f" ({event['reason']})" if event["reason"] else ""
    return f"{event['time']} {event['plugin']}: {change}{reason}"
