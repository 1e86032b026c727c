"""The commands that add, show, replace and remove plugins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from iocmng.cli.completion import complete_plugin
from iocmng.cli.parameters import parse_parameters
from iocmng.cli.session import Session, read_secret, with_server
from iocmng.errors import InvalidRequest

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the plugin.", autocompletion=complete_plugin)
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="K=V",
        help="A parameter, laid over config.yaml's: x=1, x=text, x='[1, 2]', a.b=1. May be given again.",
    ),
]


class KindName(StrEnum):
    """What `list --type` takes."""

    TASK = "task"
    JOB = "job"


@with_server
def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the plugin shall be called.")],
    git_url: Annotated[str | None, typer.Option(help="Repository of the plugin.")] = None,
    local_path: Annotated[str | None, typer.Option(help="Instead: a directory on the server.")] = None,
    path: Annotated[str | None, typer.Option(help="Directory of the plugin inside of it.")] = None,
    branch: Annotated[str | None, typer.Option(help="Branch or tag.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit, instead of the branch's newest.")] = None,
    param: ParamOption = None,
    pat_file: Annotated[
        Path | None,
        typer.Option(help="File that holds the repository's personal access token ('-': stdin); else IOCMNG_PAT."),
    ] = None,
    ssh_key_file: Annotated[
        Path | None, typer.Option(help="File that holds a private key for an ssh repository ('-': stdin).")
    ] = None,
    require_signed: Annotated[
        bool, typer.Option("--require-signed", help="Take only what an allowed key has signed.")
    ] = False,
    no_start: Annotated[bool, typer.Option("--no-start", help="Serve the PVs; the cycles wait for start.")] = False,
) -> None:
    """Add a plugin, and return when its PVs are live."""
    if (git_url is None) == (local_path is None):
        raise InvalidRequest("say where the plugin comes from: --git-url URL or --local-path DIR")
    # Never an option's own value: everyone on the machine can read the arguments of a process.
    pat = read_secret(pat_file, "personal access token") if pat_file else os.environ.get("IOCMNG_PAT") or None
    key = read_secret(ssh_key_file, "private key") if ssh_key_file else None
    with session.output.busy(f"{name} is being added"):
        told = session.client.add(
            name,
            git_url=git_url,
            local_path=_absolute(local_path),
            path=path,
            branch=branch,
            commit=commit,
            pat=pat if git_url and (pat_file or not key) else None,
            ssh_key=key,
            require_signed=True if require_signed else None,
            parameters=parse_parameters(param or ()) or None,
            auto_start=False if no_start else None,
        )
    session.output.done(told)


@with_server
def list_plugins(
    session: Session,
    type: Annotated[KindName | None, typer.Option(help="Only tasks, or only jobs.")] = None,  # noqa: A002
) -> None:
    """List the plugins."""
    told = session.client.list(type.value if type else None)  # pyright: ignore[reportArgumentType]
    if session.output.as_json:
        session.output.object(told)
        return
    rows = [
        (
            plugin["name"],
            plugin["plugin_type"],
            plugin["status"],
            plugin["generation"],
            _short(plugin["commit"], 7),
            _short(plugin["node"]),
            plugin["message"].partition("\n")[0],
        )
        for plugin in told["plugins"]
    ]
    session.output.table(("NAME", "TYPE", "STATUS", "GENERATION", "COMMIT", "NODE", "MESSAGE"), rows)


@with_server
def get(session: Session, name: NameArgument) -> None:
    """Show one plugin."""
    plugin = session.client.get(name)
    if session.output.as_json:
        session.output.object(plugin)
    else:
        session.output.facts(_facts(plugin))


@with_server
def remove(session: Session, name: NameArgument) -> None:
    """Stop a plugin, remove its PVs, and forget it."""
    with session.output.busy(f"{name} is being removed"):
        told = session.client.remove(name)
    session.output.done(told)


@with_server
def start(session: Session, name: NameArgument) -> None:
    """Start a task's cycles."""
    with session.output.busy(f"{name} is being started"):
        told = session.client.start(name)
    session.output.done(told)


@with_server
def stop(session: Session, name: NameArgument) -> None:
    """Stop a task's cycles; its PVs stay."""
    with session.output.busy(f"{name} is being stopped"):
        told = session.client.stop(name)
    session.output.done(told)


@with_server
def restart(session: Session, name: NameArgument) -> None:
    """Fetch a plugin again and replace it; if the new version fails, the old one runs on."""
    with session.output.busy(f"{name} is being replaced"):
        told = session.client.restart(name)
    session.output.done(told)


@with_server
def rollback(
    session: Session,
    name: NameArgument,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Where to go back to; else the newest that ran before.")
    ] = None,
) -> None:
    """Replace a plugin by an earlier generation of it."""
    with session.output.busy(f"{name} is being rolled back"):
        told = session.client.rollback(name, generation)
    session.output.done(told)


@with_server
def generations(session: Session, name: NameArgument) -> None:
    """List the attempts to bring a plugin into being, newest first."""
    told = session.client.generations(name)
    if session.output.as_json:
        session.output.object(told)
        return
    rows = [
        (
            one["generation"],
            one["cause"],
            one["result"],
            "runs" if one["current"] else "",
            one["at"],
            _short(one["commit"], 7),
            one["branch"],
            one["message"].partition("\n")[0],
        )
        for one in told["generations"]
    ]
    session.output.table(("GENERATION", "CAUSE", "RESULT", "NOW", "AT", "COMMIT", "BRANCH", "MESSAGE"), rows)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(add)
    app.command("list")(list_plugins)
    for command in (get, remove, start, stop, restart, rollback, generations):
        app.command()(command)


def _absolute(local_path: str | None) -> str | None:
    """Return a directory's whole path if it is one here too: the server's working directory is another."""
    if local_path is None or not Path(local_path).is_dir():
        return local_path
    return str(Path(local_path).absolute())


def _short(text: str | None, length: int = 16) -> str | None:
    """Return the beginning of a hash or of Ray's name of a node, which nobody reads to its end."""
    return text[:length] if text else None


_SHOWN = (
    *("name", "plugin_type", "class_name", "status", "message", "state", "mode", "cycle_count", "overruns"),
    *("git_url", "local_path", "path", "branch", "commit", "owner", "generation", "restarts", "crashes", "last_exit"),
    *("next_try", "schedule", "next_run", "runs", "node", "pid", "parameters", "built_pvs"),
)


def _facts(plugin: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("_", " "): plugin.get(key) for key in _SHOWN}
