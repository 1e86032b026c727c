"""A plugin's logger, whose lines are kept on its board."""

from __future__ import annotations

import logging

from iocmng.base.board import StatusBoard
from iocmng.core.builtin_pvs import Kind


class BoardHandler(logging.Handler):
    """Keeps a plugin's log lines on its board."""

    def __init__(self, board: StatusBoard) -> None:
        super().__init__()
        self._board = board
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._board.log(self.format(record))


def plugin_logger(kind: Kind, name: str, board: StatusBoard, level: str) -> logging.Logger:
    """Return the logger of a plugin, whose lines its board keeps.

    Args:
        kind: What the plugin is.
        name: Its name.
        board: Keeps the lines.
        level: Least severe log lines to show.
    """
    logger = logging.getLogger(f"iocmng.{kind.value}.{name}")
    logger.setLevel(level.upper())
    logger.addHandler(BoardHandler(board))
    return logger
