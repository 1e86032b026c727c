"""What systemd is told of the server's life (Type=notify), by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
import sys


class ServiceManager:
    """Whoever has started the server and wants to know when it answers; nobody, where NOTIFY_SOCKET is not set.

    The variable is taken out of the environment, so that no child speaks in the server's name.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """Tell that the server answers."""
        self._send("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        """Tell that the server ends."""
        self._send("STOPPING=1", "STATUS=stops its plugins")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of a name that is not in the file system.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            print(f"systemd cannot be told: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
