"""EPICS clients as other users, and elsewhere; and the ports on which an IOC listens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ioc_process import Ioc
from support import LOOPBACK, TOOLS

OTHER_USER = "nobody"

_PUT = """
import json, os, pwd, sys
from p4p.client.thread import Context, RemoteError
user, configuration, pv, value = json.loads(sys.argv[1])
if user:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
with Context("pva", conf=configuration, useenv=False) as context:
    try:
        context.put(pv, value, timeout=20)
    except RemoteError as error:
        print("refused:", error)
    else:
        print("taken")
"""


def cannot_be_others() -> str | None:
    """Return why no client can run here as another user, or None."""
    return None if os.geteuid() == 0 else "only root can start a client as another user"


def tool_as(user: str | None, name: str, *arguments: str, prefix: tuple[str, ...] = (), **environment: str) -> str:
    """Run one of EPICS Base's tools as another user; return what it prints on both streams."""
    done = subprocess.run(
        [*prefix, TOOLS / name, "-w", "10", *arguments],
        env=os.environ | LOOPBACK | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        **({"user": user, "extra_groups": []} if user else {}),
    )
    return done.stdout + done.stderr


def pva_put(pv: str, value: object, user: str | None = None, prefix: tuple[str, ...] = (), **configuration: str) -> str:
    """Write a PV by p4p in a process of its own; return `taken`, or why it was refused."""
    given = json.dumps([user, LOOPBACK | configuration, pv, value])
    command = [*prefix, sys.executable, "-c", _PUT, given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ports_of(ioc: Ioc) -> tuple[int, int]:
    """Return the CA and the PVA port that an IOC says it has."""
    found = re.search(r"CA port (\d+), PVA port (\d+)", ioc.output())
    assert found, ioc.output()
    return int(found[1]), int(found[2])


def listening(pid: int) -> set[int]:
    """Return the TCP ports on which a process listens, as the kernel knows them."""
    inodes: set[str] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                inodes.add(match[1])
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {int(words[1].rpartition(":")[2], 16) for words in lines if words[3] == "0A" and words[9] in inodes}
