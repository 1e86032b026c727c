"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any, TypeVar, overload

import httpx

from iocmng.client import calls, replies
from iocmng.client.address import Address, from_environment, request_arguments, stream_arguments, unreachable
from iocmng.client.call import Call
from iocmng.client.conversations import (
    Conversation,
    Pause,
    Tell,
    log_followed,
    raise_unless_finished,
    run_followed,
    run_to_end,
)
from iocmng.client.event_lines import EventLines
from iocmng.client.faces import blocking
from iocmng.client.objects import Event, LogLines, Run, RunNews
from iocmng.errors import IocmngError, ServerUnavailable

Answer = TypeVar("Answer")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Client:
    """Speaks to a server. Answers are dictionaries with the keys of the REST contract; failures are raised.

    Every method raises the error of `iocmng.errors` that the server names, with its sentence, and ServerUnreachable
    if there is no answer. A client may be used by one thread at a time, and is best closed by `with`.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: Where the server answers, without /api/v1; None: what `from_environment` finds.
            token: The server's token.
            timeout: Seconds for an answer; calls that wait for a plugin may take an hour.
            patience: Seconds for which whoever waits for a run, or follows, keeps trying to reach a server that
                has gone.
            transport: Another way to the server, for tests.

        Raises:
            InvalidRequest: If the URL is none.
        """
        found = from_environment() if url is None else Address(url, token)
        self.url = found.url
        self._timeout = timeout
        self._patience = patience
        options = Address(found.url, token or found.token).options(timeout)
        self._http = httpx.Client(**options, transport=transport)

    @classmethod
    def from_environment(cls, **options: Any) -> Client:
        """Return a client of the server that IOCMNG_URL and IOCMNG_TOKEN name; the same as `Client()`."""
        return cls(**options)

    health = blocking(calls.health)
    list = blocking(calls.list_plugins)
    get = blocking(calls.get)
    add = blocking(calls.add)
    remove = blocking(calls.remove)
    start = blocking(calls.start)
    stop = blocking(calls.stop)
    restart = blocking(calls.restart)
    rollback = blocking(calls.rollback)
    change = blocking(calls.change)
    apply = blocking(calls.apply)
    generations = blocking(calls.generations)
    events = blocking(calls.events)
    audit = blocking(calls.audit)
    logs = blocking(calls.logs)
    pvs = blocking(calls.pvs)
    name_servers = blocking(calls.name_servers)
    submit_job = blocking(calls.submit_job)
    runs = blocking(calls.runs)
    get_run = blocking(calls.get_run)
    cancel_run = blocking(calls.cancel_run)

    def run_job(
        self,
        name: str,
        parameters: calls.Parameters | None = None,
        *,
        timeout: float | None = None,
        on_change: Callable[[Run], Any] | None = None,
    ) -> Run:
        """Run a job, and return the run when it has ended; `result` in it tells whether it was a success.

        Args:
            name: Name of the job.
            parameters: Laid over the job's parameters for this run.
            timeout: Seconds that the run may take.
            on_change: Called with the run whenever its state, progress or message changes.

        Raises:
            RunCancelled: If somebody cancelled it.
            TimedOut: If it took longer than its limit.
            PluginCrashed: If it was lost with its process.
        """
        return self._finish(run_to_end(name, parameters, timeout, self._patience), on_change)

    def wait_for_run(self, name: str, run_id: int, *, on_change: Callable[[Run], Any] | None = None) -> Run:
        """Wait until a run has ended, and return it; it raises and calls as `run_job` does."""
        run = self._finish(run_followed(name, run_id, self._patience), on_change)
        raise_unless_finished(run)
        return run

    def follow_run(self, name: str, run_id: int) -> Iterator[Run]:
        """Yield a run as it is, at each change of it, and when it has ended, whatever its end."""
        yield from self._told(run_followed(name, run_id, self._patience))

    def follow_logs(self, name: str, *, tail: int = 100) -> Iterator[LogLines]:
        """Yield a plugin's newest log lines, then what is added to them, each line once; it never ends by itself.

        Args:
            name: Name of the plugin.
            tail: Number of lines to begin with.

        Raises:
            UnknownPlugin: Also when the plugin is removed.
        """
        yield from self._told(log_followed(name, tail, self._patience))

    @overload
    def follow_events(self, name: str | None = None, *, after: int | None = None) -> Iterator[Event]: ...
    @overload
    def follow_events(
        self, name: str | None = None, *, after: int | None = None, runs: bool
    ) -> Iterator[Event | RunNews]: ...
    def follow_events(self, name: str | None = None, *, after: int | None = None, runs: bool = False) -> Iterator[Any]:
        """Yield events as they happen, each once, also over a restart of the server; it never ends by itself.

        Args:
            name: Only those of this plugin.
            after: Begin behind the event with this id; None: with what comes.
            runs: Also yield what happens to runs of jobs, as objects with a `run_id`. They are told as they happen
                only: what happened to a run while the connection was broken is not repeated.
        """
        lines = EventLines(name, after, self._patience, runs=runs)
        while True:
            broken: ServerUnavailable | None = None
            try:
                yield from self._connection(lines)
            except ServerUnavailable as error:
                broken = error
            time.sleep(lines.pause_after(broken))

    def send(self, call: Call[Answer]) -> Answer:
        """Send a call and return its answer."""
        try:
            response = self._http.request(**request_arguments(call, self._timeout))
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from None  # the sentence holds all that httpx says
        return replies.answer(response.status_code, response.headers, response.content, self.url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connection(self, lines: EventLines) -> Iterator[Event | RunNews]:
        try:
            with self._http.stream(**stream_arguments(lines.call)) as response:
                if not response.is_success:
                    replies.answer(response.status_code, response.headers, response.read(), self.url)
                lines.opened()
                for chunk in response.iter_bytes():
                    yield from lines.take(chunk)
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from None  # the sentence holds all that httpx says

    def _finish(self, conversation: Conversation[Item, Result], on_item: Callable[[Item], Any] | None) -> Result:
        telling = self._told(conversation)
        while True:
            try:
                item = next(telling)
            except StopIteration as end:
                return end.value
            if on_item is not None:
                on_item(item)

    def _told(self, conversation: Conversation[Item, Result]) -> Generator[Item, None, Result]:
        """Hold a conversation; yield what it tells, and return its result."""
        reply: Any = None
        error: IocmngError | None = None
        while True:
            try:
                step = conversation.send(reply) if error is None else conversation.throw(error)
            except StopIteration as end:
                return end.value
            reply, error = None, None
            match step:
                case Tell(item):
                    yield item
                case Pause(seconds):
                    time.sleep(seconds)
                case Call():
                    try:
                        reply = self.send(step)
                    except IocmngError as caught:
                        error = caught
