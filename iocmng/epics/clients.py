"""EpicsPvClient: reads and writes PVs of other IOCs, behind the author's pv_client."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from iocmng.errors import AuthorError, TimedOut


class EpicsPvClient:
    """A PvClient on p4p (PV Access) or cothread's catools (Channel Access).

    Both libraries are loaded with the first call: most plugins never need them.

    Args:
        pva: Whether to use PV Access; else Channel Access.
        pva_configuration: EPICS_PVA_… variables to use instead of those of the environment.
    """

    def __init__(self, pva: bool, pva_configuration: Mapping[str, str] | None = None) -> None:
        self._pva = pva
        self._pva_configuration = pva_configuration

    def close(self) -> None:
        """Let go of the connections of PV Access."""
        if "_context" in vars(self):
            self._context.close()

    def get(self, pv_name: str, timeout: float) -> Any:
        """Return the value of a PV, plain and of the same type over both protocols; see plain().

        Raises:
            TimedOut: If it does not answer in time.
            AuthorError: If its server refuses.
        """
        value = self.read(pv_name, timeout)
        from iocmng.epics.plain import plain

        return plain(value)

    def read(self, pv_name: str, timeout: float) -> Any:
        """Return the value of a PV as p4p or cothread give it, with alarm and time stamp; see get()."""
        if self._pva:
            return self._by_pva("get", pv_name, timeout=timeout)
        return self._by_ca("caget", pv_name, timeout=timeout)

    def put(self, pv_name: str, value: Any, timeout: float) -> None:
        """Write a PV and wait until its record has processed.

        Raises:
            TimedOut: If it does not answer in time.
            AuthorError: If its server refuses, or the value does not fit.
        """
        if self._pva:
            self._by_pva("put", pv_name, value, timeout=timeout, wait=True)
        else:
            self._by_ca("caput", pv_name, value, timeout=timeout, wait=True)

    @cached_property
    def _context(self) -> Any:
        from p4p.client.thread import Context

        conf = self._pva_configuration
        return Context("pva", conf=dict(conf) if conf else None, useenv=conf is None)

    def _by_pva(self, call: str, pv_name: str, *arguments: Any, **options: Any) -> Any:
        from p4p.client.thread import Disconnected, RemoteError

        try:
            return getattr(self._context, call)(pv_name, *arguments, **options)
        except TimeoutError:
            raise _timed_out(pv_name, options["timeout"]) from None
        except (RemoteError, Disconnected, TypeError, ValueError) as error:
            raise AuthorError(f"{call} {pv_name}: {error}") from error

    @cached_property
    def _catools(self) -> Any:
        # cothread belongs to the thread that imports it first; a plugin's own thread is the only one that needs it.
        from cothread import catools

        self._ca_thread = threading.get_ident()
        return catools

    def _by_ca(self, call: str, pv_name: str, *arguments: Any, **options: Any) -> Any:
        catools = self._catools
        from cothread import cadef

        if threading.get_ident() != self._ca_thread:
            raise AuthorError("Channel Access belongs to the plugin's own thread; call pv_client from there")
        try:
            return getattr(catools, call)(pv_name, *arguments, **options)
        except catools.ca_nothing as error:
            if error.errorcode == cadef.ECA_TIMEOUT:
                raise _timed_out(pv_name, options["timeout"]) from None
            raise AuthorError(f"{call} {pv_name}: {error}") from error
        except cadef.CAException as error:
            raise AuthorError(f"{call} {pv_name}: {error}") from error


def _timed_out(pv_name: str, timeout: float) -> TimedOut:
    return TimedOut(f"{pv_name} did not answer within {timeout:g} s; is its IOC up, and in reach of this machine?")
