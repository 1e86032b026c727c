"""A client of Channel Access that claims to be whom it likes, and comes from where it likes on this machine."""

from __future__ import annotations

import socket
import struct

_HEADER = struct.Struct(">HHHHII")
_VERSION, _CREATE_CHANNEL, _CLIENT_NAME, _HOST_NAME, _ACCESS_RIGHTS, _CREATE_FAILED = 0, 18, 20, 21, 22, 26


def rights(port: int, pv: str, *, user: str, host: str, address: str = "127.0.0.1") -> str:
    """Return what an IOC lets such a client do with a PV: "", "r" or "rw".

    Args:
        port: The IOC's CA port on this machine.
        pv: Full name of the PV.
        user: The name of the user that the client claims.
        host: The name of the host that it claims.
        address: The address that it comes from, one of 127.0.0.0/8.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0)) as connection:
        connection.sendall(
            _message(_VERSION, count=13)
            + _message(_HOST_NAME, host)
            + _message(_CLIENT_NAME, user)
            + _message(_CREATE_CHANNEL, pv, one=1, two=13)
        )
        with connection.makefile("rb") as answers:
            while True:
                command, size, _, _, _, two = _HEADER.unpack(answers.read(_HEADER.size))
                answers.read(size)
                assert command != _CREATE_FAILED, f"the IOC has no PV {pv}"
                if command == _ACCESS_RIGHTS:
                    return ("r" if two & 1 else "") + ("w" if two & 2 else "")


def _message(command: int, text: str = "", *, count: int = 0, one: int = 0, two: int = 0) -> bytes:
    content = text.encode() + b"\0" if text else b""
    content += b"\0" * (-len(content) % 8)
    return _HEADER.pack(command, len(content), 0, count, one, two) + content
