"""ClientWrites: what EPICS clients have written to a plugin's PVs, for its log and its reports."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from iocmng.base.wanted_runs import WantedRuns
from iocmng.core.client_puts import ClientPut, PutBook
from iocmng.core.ports.plugin import ClientPuts, Clock

KEPT = 1000
"""Puts of clients that wait for the next report; beyond, the oldest are in the plugin's log only."""


class ClientWrites:
    """Keeps the puts, and the runs that are asked for by RUN, until they are reported. Thread-safe.

    Args:
        client_puts: Tells who has written what; None where nobody knows.
        clock: Time for what is told of many puts.
        notify: Told that there is something to report, and whether it is urgent; None where nobody wants to know.
    """

    def __init__(
        self, client_puts: ClientPuts | None, clock: Clock, notify: Callable[[bool], None] | None = None
    ) -> None:
        self._client_puts = client_puts
        self._notify = notify
        self._book = PutBook(self._tell, clock.monotonic)
        self._untold: deque[ClientPut] = deque(maxlen=KEPT)
        self._wanted = WantedRuns()
        self.logger: logging.Logger | None = None
        """The plugin's, as soon as there is one."""
        if client_puts is not None:
            client_puts.listen(self._book.note)

    @property
    def clients(self) -> tuple[int, int] | None:
        """How many clients are connected by Channel Access and by PV Access; None where that is not known."""
        return self._client_puts.clients() if self._client_puts is not None else None

    @property
    def wanted_runs(self) -> int:
        """How many runs are asked for and not taken."""
        return self._wanted.number

    def want_run(self) -> None:
        """Note that a client asks for a run; called while EPICS tells of his put."""
        self._wanted.add(self._client_puts.writer if self._client_puts is not None else "")
        if self._notify is not None:
            self._notify(True)

    def take_wanted_runs(self) -> tuple[str, ...]:
        """Return who has asked for a run since the last call, each as often as he has."""
        return self._wanted.take()

    def take_untold(self) -> tuple[ClientPut, ...]:
        """Return the puts since the last call."""
        return tuple(self._untold.popleft() for _ in range(len(self._untold)))

    def look(self, *, everything: bool = False) -> None:
        """Tell of many puts what is due, or everything."""
        self._book.look(everything=everything)

    def _tell(self, put: ClientPut) -> None:
        """Log what a client has written, and report it; called in one of EPICS's threads, or by the heartbeat."""
        if self.logger is not None:
            self.logger.info("%s", put.sentence)
        self._untold.append(put)
        if self._notify is not None:
            self._notify(False)
