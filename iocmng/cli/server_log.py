"""What the server's own process says: a sentence on stderr, or a line of its log where that is JSON."""

from __future__ import annotations

import logging

from iocmng.base.log_output import show_log
from iocmng.settings import Settings

SERVER_LOG = logging.getLogger("iocmng.server")


def show_server_log(settings: Settings) -> None:
    """Have what the server says written in the form that the settings ask for."""
    if settings.log_format == "json":
        show_log(settings.log_level, "json")
        return
    if not SERVER_LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        SERVER_LOG.addHandler(handler)
    SERVER_LOG.setLevel(logging.INFO)
    SERVER_LOG.propagate = False
