"""The REST API: FastAPI, and nothing of Ray or EPICS. It knows the Controller only by core.ports.controller."""

from iocmng.api.app import create_app

__all__ = ["create_app"]
