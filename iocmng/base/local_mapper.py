"""LocalMapper: map() in this process, one item after the other, where there is no cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from typing import Any

from iocmng.base.map_item import run_item
from iocmng.core.ports.plugin import ItemOutcome


class LocalMapper:
    """Implements core.ports.plugin.Mapper without any other process. Cancelling waits for the item that runs.

    Args:
        directory: Where the plugin's files lie, to name the line of a mistake.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory

    def outcomes(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        max_parallel: int | None,
        logger: logging.Logger,
    ) -> Generator[ItemOutcome | None]:
        """Run the items one after the other, each when the one before has been taken."""
        for index, item in enumerate(items):
            yield run_item(function, index, item, self._directory)
