"""What the shell completes: names of plugins, if the server tells them at once."""

from __future__ import annotations

import typer

PATIENCE = 0.5
"""Seconds for which a shell waits for names."""


def complete_plugin(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of plugins that begin like this."""
    return _names(context, incomplete, None)


def complete_job(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of jobs that begin like this."""
    return _names(context, incomplete, "job")


def _names(context: typer.Context, incomplete: str, kind: str | None) -> list[str]:
    import httpx

    from iocmng.cli.session import address_of

    try:
        address = address_of(context.params.get("url"), context.params.get("token_file"))
        with httpx.Client(**address.options(PATIENCE)) as client:
            answer = client.get("plugins", params={"type": kind} if kind else {}, timeout=PATIENCE)
        names = [str(plugin["name"]) for plugin in answer.json()["plugins"]]
    except Exception:  # noqa: BLE001  a shell that completes must not be disturbed, whatever answers there
        return []
    return [name for name in names if name.startswith(incomplete)]
