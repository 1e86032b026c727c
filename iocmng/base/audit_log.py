"""The audit's lines in the log: one line of JSON for each entry, on stderr, whatever the level of other lines."""

from __future__ import annotations

import logging

from iocmng.core.audit import AuditEntry, log_line

LOGGER = "iocmng.audit"


def show_audit_log() -> None:
    """Have this process write the audit's lines to its stderr, once each; for a server's own processes."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


def log_entry(entry: AuditEntry) -> None:
    """Write an entry into the log."""
    logging.getLogger(LOGGER).info("%s", log_line(entry))
