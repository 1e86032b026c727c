"""`iocmng apply`: a plugins file becomes the desired state of a running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import typer

from iocmng.core.request import PluginRequest
from iocmng.errors import InvalidRequest, IocmngError, ServerUnreachable
from iocmng.loading.plugins_file import read_plugins_file

TIMEOUT = httpx.Timeout(10.0, read=None)
"""Seconds; the answer comes when all plugins are what they shall be, however long that takes."""


def apply_file(file: Path, url: str, token: str | None, as_json: bool) -> bool:
    """Apply a plugins file and print what became of each entry; return whether nothing failed.

    Args:
        file: The file.
        url: Where the server answers, without /api/v1.
        token: Token of the server.
        as_json: Print the server's answer as it is, and nothing else.

    Raises:
        InvalidRequest: If an entry does not fit; nothing is applied then.
        ServerUnreachable: If the server does not answer.
        IocmngError: If it refuses the file as a whole.
    """
    path = file.absolute()
    requests, problems = read_plugins_file(path)
    if problems:
        raise InvalidRequest("; ".join(problems))
    body = {"owner": str(path), "plugins": [_plain(request) for request in requests]}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.post(f"{url.rstrip('/')}/api/v1/apply", json=body, headers=headers, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerUnreachable(f"no answer from {url}: {error}") from error
    try:
        told: dict[str, Any] = answer.json()
    except ValueError as error:
        raise ServerUnreachable(f"what answers at {url} is no iocmng server (status {answer.status_code})") from error
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return answer.is_success
    if "results" not in told:
        raise IocmngError(str(told.get("message") or told))
    for result in told["results"]:
        typer.echo(": ".join(filter(None, (f"{result['name']} {result['action']}", result["message"]))))
    return answer.is_success


def _plain(request: PluginRequest) -> dict[str, Any]:
    plain = request.model_dump(mode="json", exclude_unset=True)
    return plain | {"pat": request.pat.get_secret_value()} if request.pat else plain
