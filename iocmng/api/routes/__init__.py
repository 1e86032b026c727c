"""The calls. Each module registers its own, with full paths: one flat list is the fastest to search."""

from __future__ import annotations

from fastapi import FastAPI

from iocmng.api.routes import apply, audit, changes, devices, events, health, history, plugins, pvs, runs


def register(app: FastAPI) -> None:
    """Add all calls to the application."""
    plugins.register(app)
    pvs.register(app)
    devices.register(app)
    health.register(app)
    changes.register(app)
    runs.register(app)
    apply.register(app)
    history.register(app)
    events.register(app)
    audit.register(app)


__all__ = ["register"]
