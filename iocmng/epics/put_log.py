"""PutLog: tells of what clients write, over Channel Access and PV Access alike.

EPICS calls a listener before and after each write that a rule with TRAPWRITE allows (asTrapWrite.h), in the thread of
the client that writes. The plugin's own puts do not come this way.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from iocmng.core.client_puts import ClientPut
from iocmng.epics.loader import load_epics

_STRING = 0  # DBR_STRING
_STRING_BYTES = 41
_LONGEST_NAME = 100


class _Message(ctypes.Structure):
    """struct asTrapWriteMessage."""

    _fields_ = (
        ("userid", ctypes.c_char_p),
        ("hostid", ctypes.c_char_p),
        ("channel", ctypes.c_void_p),
        ("pvt", ctypes.c_void_p),
        ("dbr_type", ctypes.c_int),
        ("elements", ctypes.c_int),
        ("data", ctypes.c_void_p),
    )


_Listener = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Message), ctypes.c_int)


class PutLog:
    """Listens from register() on, for as long as the process lives.

    Args:
        told: Called with each put once it is done, in a thread that it must not hold up.
    """

    def __init__(self, told: Callable[[ClientPut], None]) -> None:
        self._told = told
        # By thread. Not a threading.local: Python forgets a thread of EPICS's between two calls out of it.
        self._writing: dict[int, tuple[str, str]] = {}
        self._listener: Any = _Listener(self._hear)  # kept, or the library would call what is gone

    @property
    def writer(self) -> str:
        """Who makes the put that goes on in this thread, as user@host; empty where none does."""
        return self._writing.get(threading.get_ident(), ("", ""))[0]

    def register(self) -> None:
        """Begin to listen."""
        _com().asTrapWriteRegisterListener(self._listener)

    def _hear(self, pointer: Any, after: int) -> None:
        message, thread = pointer.contents, threading.get_ident()
        if not after:
            who = f"{_text(message.userid)}@{_text(message.hostid)}"
            self._writing[thread] = (who, _value(message.channel))
            return
        who, before = self._writing.pop(thread, ("", ""))
        self._told(ClientPut(_name(message.channel), who, _protocol(), before, _value(message.channel)))


@cache
def _com() -> Any:
    from epicscorelibs.ioc import Com

    load_epics()
    Com.asTrapWriteRegisterListener.restype = ctypes.c_void_p
    Com.epicsThreadGetNameSelf.restype = ctypes.c_char_p
    return Com


@cache
def _get() -> Any:
    get = load_epics().db.dbChannelGetField
    get.argtypes = (ctypes.c_void_p, ctypes.c_short, *[ctypes.c_void_p] * 4)
    get.restype = ctypes.c_long
    return get


def _value(channel: int) -> str:
    """Return the value of a channel as caget prints it, without the name of an enum's state where it has none."""
    buffer, elements = ctypes.create_string_buffer(_STRING_BYTES), ctypes.c_long(1)
    status = _get()(channel, _STRING, buffer, None, ctypes.byref(elements), None)
    return "" if status else buffer.value.decode("utf-8", "replace")


def _name(channel: int) -> str:
    """Return a channel's name: the first member of a dbChannel."""
    return _text(ctypes.cast(channel, ctypes.POINTER(ctypes.c_char_p)).contents.value)


def _protocol() -> str:
    """Return `ca` or `pva`: the threads of the CA server say so."""
    return "ca" if (_com().epicsThreadGetNameSelf() or b"").startswith(b"CAS-") else "pva"


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")[:_LONGEST_NAME]
