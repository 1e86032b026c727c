"""The log of a plugin's process: what its code logs and prints, and what libraries warn of."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from iocmng.base.board import StatusBoard
from iocmng.base.log_output import LogContext, show_log
from iocmng.base.plugin_log import BoardHandler
from iocmng.base.printed_lines import log_what_is_printed
from iocmng.core.builtin_pvs import Kind
from iocmng.core.spec import PluginSpec
from iocmng.settings import Settings

PRINTED = "iocmng.printed"


class ProcessLog:
    """Set up once, before author's code is loaded."""

    def __init__(self, spec: PluginSpec, settings: Settings, node: str) -> None:
        self._board: StatusBoard | None = None
        fields = {"node": node, "plugin": spec.name, "generation": spec.generation}
        level = "error" if settings.log_level == "error" else "warning"  # of libraries
        handler = show_log(level, settings.log_format, LogContext(fields, self._moment, self._clean))
        if settings.log_format == "text":
            # What REST shows is not written for a second time, into files of Ray's that may come to fill a disk.
            handler.addFilter(lambda record: self._board is None or not _is_shown(record))
        _keep_rays_lines_apart()
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

    def _moment(self) -> Mapping[str, Any]:
        return {"run": self._board.run if self._board is not None else None}

    def _clean(self, text: str) -> str:
        return self._board.clean(text) if self._board is not None else text


def _keep_rays_lines_apart() -> None:
    """Have Ray's own lines go to stderr itself.

    Its handler writes to whatever `sys.stderr` is at the time, and so they would count as printed by the plugin.
    """
    log = logging.getLogger("ray")
    for handler in list(log.handlers):
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            own = logging.StreamHandler(sys.stderr)
            own.setFormatter(handler.formatter)
            log.removeHandler(handler)
            log.addHandler(own)


def _is_shown(record: logging.LogRecord) -> bool:
    return _is_foreign(record) or record.name.startswith((PRINTED, *(f"iocmng.{kind.value}." for kind in Kind)))


def _is_foreign(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] not in ("iocmng", "ray")
