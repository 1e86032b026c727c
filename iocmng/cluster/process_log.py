"""The log of a plugin's process: what its code logs and prints, and what libraries warn of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from iocmng.base.board import StatusBoard
from iocmng.base.log_output import LogContext, show_log
from iocmng.base.plugin_log import BoardHandler
from iocmng.base.printed_lines import log_what_is_printed
from iocmng.core.spec import PluginSpec
from iocmng.settings import Settings

PRINTED = "iocmng.printed"


class ProcessLog:
    """Set up once, before author's code is loaded."""

    def __init__(self, spec: PluginSpec, settings: Settings, node: str) -> None:
        self._board: StatusBoard | None = None
        # Text goes to the plugin's log alone, which REST shows: it would be in Ray's files for a second time.
        if settings.log_format == "json":
            fields = {"node": node, "plugin": spec.name, "generation": spec.generation}
            show_log("error" if settings.log_level == "error" else "warning", "json", self._context(fields))
        printed = logging.getLogger(PRINTED)
        printed.setLevel(settings.log_level.upper())
        log_what_is_printed(printed)

    def show_on(self, board: StatusBoard) -> None:
        """Have all that is logged from now on kept on the plugin's board, beside what its own logger writes."""
        self._board = board
        handler = BoardHandler(board)
        logging.getLogger(PRINTED).addHandler(handler)
        of_libraries = BoardHandler(board)
        of_libraries.addFilter(_is_foreign)
        logging.getLogger().addHandler(of_libraries)

    def _context(self, fields: Mapping[str, Any]) -> LogContext:
        return LogContext(fields, self._moment, self._clean)

    def _moment(self) -> Mapping[str, Any]:
        return {"run": self._board.run if self._board is not None else None}

    def _clean(self, text: str) -> str:
        return self._board.clean(text) if self._board is not None else text


def _is_foreign(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] not in ("iocmng", "ray")
