"""`iocmng apply`: a plugins file becomes the desired state of a running server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from iocmng.cli.ray_job import uploaded_name
from iocmng.cli.session import Session, with_server
from iocmng.core.request import PluginRequest
from iocmng.errors import InvalidRequest, IocmngError


@with_server
def apply(
    session: Session,
    file: Annotated[Path, typer.Option("-f", "--file", help="Plugins file (YAML).")],
    owner: Annotated[
        str | None, typer.Option(help="Whose list it is; else the file's path (in a Ray job: ray-job/ and its name).")
    ] = None,
) -> None:
    """Make the server's plugins what a plugins file says: add, change, and remove what the file had asked for."""
    from iocmng.loading.plugins_file import read_plugins_file

    path = file.absolute()
    requests, problems = read_plugins_file(path)
    if problems:
        raise InvalidRequest("; ".join(problems))
    try:
        with session.output.busy(f"{file} is being applied"):
            told = session.client.apply(owner or _owner(path), [_plain(request) for request in requests])
    except IocmngError as error:
        if "results" in error.problem and not session.output.as_json:
            _print(session, error.problem["results"])
        raise
    session.output.object(told) if session.output.as_json else _print(session, told["results"])


def _owner(path: Path) -> str:
    uploaded = uploaded_name(path)
    return f"ray-job/{uploaded}" if uploaded else str(path)


def _print(session: Session, results: Iterable[Mapping[str, Any]]) -> None:
    for result in results:
        session.output.line(": ".join(filter(None, (f"{result['name']} {result['action']}", result["message"]))))


def _plain(request: PluginRequest) -> dict[str, Any]:
    plain = request.model_dump(mode="json", exclude_unset=True)
    secrets = {"pat": request.pat, "ssh_key": request.ssh_key}  # shown as stars above
    return plain | {key: secret.get_secret_value() for key, secret in secrets.items() if secret}
