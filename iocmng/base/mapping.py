"""What map() of a plugin does with a Mapper: order, progress, cancellation, and the first failure."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, cast

from iocmng.core.ports.plugin import Mapper
from iocmng.errors import AuthorError, Cancelled


@dataclass(frozen=True, slots=True)
class MapCall:
    """One call of map(), as its plugin sees it.

    Attributes:
        mapper: Runs the items.
        logger: Gets what the function logs.
        is_cancelled: Whether the call is to end early.
        show: Told of the part that is done, from 0 to 1, where the number of items is known.
    """

    mapper: Mapper
    logger: logging.Logger
    is_cancelled: Callable[[], bool]
    show: Callable[[float], None]

    def run(self, function: Callable[[Any], Any], items: Iterable[Any], max_parallel: int | None) -> list[Any]:
        """Return what the function returns for each item, in the order of the items.

        Raises:
            Cancelled: If the call is to end early.
            ItemFailed: If an item fails; of several, the first that is known of.
            AuthorError: If the function or `max_parallel` is of no use.
        """
        if max_parallel is not None and max_parallel < 1:
            raise AuthorError(f"map(): max_parallel must be at least 1, not {max_parallel!r}")
        total = len(items) if isinstance(items, Sized) else None
        results: dict[int, Any] = {}
        self._check()
        outcomes = self.mapper.outcomes(function, items, max_parallel, self.logger)
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                if outcome is not None:
                    for level, text in outcome.log:
                        self.logger.log(level, "item %d: %s", outcome.index, text)
                    if outcome.failure is not None:
                        raise outcome.failure
                    results[outcome.index] = outcome.value
                    if total:
                        self.show(len(results) / total)
                self._check()
        return [results[index] for index in range(len(results))]

    def _check(self) -> None:
        if self.is_cancelled():
            raise Cancelled


def check_portable(function: Callable[[Any], Any], plugin_class: type) -> None:
    """Check that a function does not take its plugin along: that has records and threads of this process.

    Args:
        function: What map() was given.
        plugin_class: What must not stand in it.

    Raises:
        AuthorError: If it does, with what to do.
    """
    if not callable(function):
        raise AuthorError(f"map() takes a function first, not {function!r:.80}")
    if any(isinstance(value, plugin_class) for value in _taken_along(function)):
        name = getattr(function, "__name__", "the function")
        raise AuthorError(
            f"map(): {name} uses `self`, and the plugin itself cannot go to another process; make it a function of the "
            "module or a staticmethod, and give what it needs with the items or with functools.partial"
        )


def _taken_along(function: Any) -> Iterator[Any]:
    """Yield what a function takes along to wherever it goes, as far as it can be seen."""
    if isinstance(function, functools.partial):
        partial = cast("functools.partial[Any]", function)
        yield from (*partial.args, *partial.keywords.values())
        yield from _taken_along(partial.func)
    elif inspect.ismethod(function):
        yield function.__self__
    else:
        yield from getattr(function, "__defaults__", None) or ()
        yield from (getattr(function, "__kwdefaults__", None) or {}).values()
        for cell in getattr(function, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # a name that has no value yet
                yield cell.cell_contents
