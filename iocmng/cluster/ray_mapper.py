"""RayMapper: map() on the CPUs of the whole cluster."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from functools import cache, cached_property
from typing import Any

import ray
import ray.cloudpickle as cloudpickle
from ray.exceptions import RayActorError, RayError, RayTaskError

from iocmng.base.map_item import item_failed
from iocmng.cluster.map_worker import MapWorker
from iocmng.core.ports.plugin import ItemOutcome
from iocmng.core.ports.processes import Bundle
from iocmng.errors import AuthorError, IocmngError
from iocmng.loading.bundles import pack_bundle
from iocmng.loading.confinement import Confinement
from iocmng.settings import Settings

LOOK_EVERY = 0.1
"""Seconds after which map() looks whether it is cancelled while no item finishes."""

TELL_AFTER = 5.0
"""Seconds without any worker after which the plugin's log says what map() waits for."""


class RayMapper:
    """Implements core.ports.plugin.Mapper with Ray actors that live as long as one map().

    They are this process's own: Ray ends them as soon as it ends, however that happens. A worker is never shared with
    another plugin, because both may have modules of the same name.

    Args:
        bundle: The files of the plugin.
        settings: Settings of the server, without secrets.
        confined: What each of its processes may do.
    """

    def __init__(self, bundle: Bundle, settings: Settings, confined: Confinement) -> None:
        self._bundle = bundle
        self._settings = settings
        self._confined = confined

    def outcomes(
        self, function: Callable[[Any], Any], items: Iterable[Any], max_parallel: int | None, logger: logging.Logger
    ) -> Generator[ItemOutcome | None]:
        """Yield what becomes of each item; see core.ports.plugin.Mapper."""
        limit = self._limit(max_parallel)
        if isinstance(items, Sized):
            limit = min(limit, len(items))
        crew = _Crew(self._bundle, _pickled(function), self._settings, self._confined, limit, logger)
        try:
            yield from crew.work(enumerate(items))
        finally:
            crew.dismiss()

    def _limit(self, max_parallel: int | None) -> int:
        """Return how many workers there may be."""
        return most_workers(float(ray.cluster_resources().get("CPU", 1)), self._settings.map_worker_cpus, max_parallel)


def most_workers(cpus: float, each: float, max_parallel: int | None) -> int:
    """Return how many workers there may be: no more than the cluster will ever have room for, and one in any case.

    Args:
        cpus: CPUs of the cluster.
        each: CPUs that each worker books.
        max_parallel: As many as the author wants; None is one for each CPU.
    """
    return max(1, min(int(cpus) if max_parallel is None else max_parallel, int(cpus / each)))


class _Crew:
    """The workers of one map(). Each is starting, idle, or at one item; items that were taken for it wait until then.

    Attributes:
        _calls: What is under way: the worker and, but for a start, the number of its item.
    """

    def __init__(
        self,
        bundle: Bundle,
        function: bytes,
        settings: Settings,
        confined: Confinement,
        limit: int,
        logger: logging.Logger,
    ) -> None:
        self._bundle = bundle
        self._confined = confined
        self._function: Any = ray.put(function)
        self._settings = settings
        self._limit = limit
        self._logger = logger
        self._workers: list[Any] = []
        self._idle: list[Any] = []
        self._calls: dict[Any, tuple[Any, tuple[int, Any] | None]] = {}
        self._waiting: deque[tuple[int, Any]] = deque()
        self._supplied: set[Any] = set()
        self._quiet_until = time.monotonic() + TELL_AFTER

    def work(self, items: Iterator[tuple[int, Any]]) -> Iterator[ItemOutcome | None]:
        """Run all items; yield None where none has finished for a moment."""
        while True:
            self._hand_out(items)
            if not any(item is not None for _, item in self._calls.values()) and not self._waiting:
                return
            done, _ = ray.wait(list(self._calls), timeout=LOOK_EVERY)
            if not done:
                self._tell_if_stuck()
                yield None
            for call in done:
                worker, item = self._calls.pop(call)
                if item is None:
                    self._opened(worker, call)
                else:
                    self._idle.append(worker)
                    yield _outcome(call, *item)

    def dismiss(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            ray.kill(worker)

    def _hand_out(self, items: Iterator[tuple[int, Any]]) -> None:
        """Give an item to each idle worker; start one more for each item beyond, up to the limit."""
        while self._idle and (item := self._next(items)) is not None:
            worker = self._idle.pop()
            self._calls[_sent(worker, item)] = (worker, item)
        while len(self._workers) < self._limit and (item := next(items, None)) is not None:
            self._waiting.append(item)
            self._start()
        if self._idle and not self._waiting:  # there are no more items: others may have the CPUs
            for worker in self._idle:
                self._workers.remove(worker)
                ray.kill(worker)
            self._idle.clear()

    def _next(self, items: Iterator[tuple[int, Any]]) -> tuple[int, Any] | None:
        return self._waiting.popleft() if self._waiting else next(items, None)

    def _start(self) -> None:
        options = {"num_cpus": self._settings.map_worker_cpus, "max_restarts": 0, "max_task_retries": 0}
        worker = _worker_class().options(**options).remote()
        self._workers.append(worker)
        self._open(worker)

    def _open(self, worker: Any) -> None:
        call = worker.open.remote(self._bundle, self._function, self._settings, self._confined)
        self._calls[call] = (worker, None)

    def _opened(self, worker: Any, call: Any) -> None:
        try:
            has_files = ray.get(call)
        except RayTaskError as error:
            cause: Any = error.cause
            reason = str(cause) if isinstance(cause, IocmngError) else f"{type(cause).__name__}: {cause}"
            raise AuthorError(f"map(): the function cannot be loaded in another process: {reason}") from None
        except RayError as error:
            raise AuthorError(f"map(): a process ended before its first item: {type(error).__name__}") from None
        if has_files:
            self._idle.append(worker)
        elif worker in self._supplied:
            raise AuthorError("map(): the plugin's files could not be brought to another node; see Ray's logs")
        else:  # it is on a node that the plugin has not been on
            self._supplied.add(worker)
            worker.bring.remote(self._packed, self._settings)
            self._open(worker)

    @cached_property
    def _packed(self) -> Any:
        """The bundle in the object store, where each node that needs it gets it from."""
        return ray.put(pack_bundle(self._bundle, self._settings))

    def _tell_if_stuck(self) -> None:
        works = self._idle or any(item is not None for _, item in self._calls.values())
        now = time.monotonic()
        if works:
            self._quiet_until = now + TELL_AFTER
        elif now > self._quiet_until:
            self._quiet_until = float("inf")
            self._logger.warning(
                "map() has no process yet: it waits for a free CPU (`ray status` shows who has them), or for the "
                "import of the plugin there"
            )


def _pickled(function: Callable[[Any], Any]) -> bytes:
    try:
        return cloudpickle.dumps(function)  # pyright: ignore[reportPrivateImportUsage]
    except AuthorError:
        raise
    except Exception as error:  # noqa: BLE001  boundary: __reduce__ of the author's objects
        raise AuthorError(
            f"map(): the function cannot be sent to another process: {type(error).__name__}: {error}"
        ) from None


def _sent(worker: Any, item: tuple[int, Any]) -> Any:
    try:
        return worker.run.remote(*item)
    except AuthorError as error:
        raise item_failed(*item, str(error)) from None
    except Exception as error:  # noqa: BLE001  boundary: __reduce__ of the author's objects
        reason = str(error).partition("\n")[0]
        raise item_failed(*item, f"it cannot be sent to another process: {type(error).__name__}: {reason}") from None


def _outcome(call: Any, index: int, item: Any) -> ItemOutcome:
    try:
        return ray.get(call)
    except RayTaskError as error:  # run() itself raises nothing: this was on the way to it, or from it
        reason = f"it or its result cannot be sent between processes: {error.cause}".partition("\n")[0]
    except RayActorError:
        reason = "the process that worked on it ended: it crashed, called os._exit, or was killed"
    except RayError as error:
        reason = f"its result cannot be had: {type(error).__name__}"
    return ItemOutcome(index, failure=item_failed(index, item, reason))


@cache
def _worker_class() -> Any:
    """Return the class as Ray knows it; made anew for each worker, it would be exported and kept each time."""
    return ray.remote(MapWorker)
