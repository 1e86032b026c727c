"""Loads EPICS into this process, in the one order that works."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ACCESS_FILE = Path(__file__).with_name("access.acf")
"""Access security: clients read outputs and nothing more. cainfo shows it, and screens can grey such fields out."""


@cache
def load_epics() -> Any:
    """Import softioc and register everything that needs no records; return its modules in one namespace.

    It takes up to two seconds, so a warm process does it before it knows its plugin.
    """
    # As root, iocInit would lock all memory of the process, Ray's object store included (epicsThread, osdThread.c).
    os.environ["EPICS_ALLOW_POSIX_THREAD_PRIORITY_SCHEDULING"] = "NO"

    import pvxslibs.path
    from epicscorelibs.ioc import dbCore, pdbbase
    from setuptools_dso.runtime import find_dso
    from softioc import alarm, builder, device, imports, softioc

    # The PV Access server: what softioc.iocInit does, done apart, because iocBuild and iocRun are called apart.
    softioc.dbLoadDatabase("pvxsIoc.dbd", pvxslibs.path.dbd_path, None)
    ctypes.CDLL(find_dso("pvxslibs.lib.pvxsIoc"), ctypes.RTLD_GLOBAL)
    imports.registerRecordDeviceDriver(pdbbase)
    dbCore.asSetFilename(os.fsencode(ACCESS_FILE))
    return SimpleNamespace(alarm=alarm, builder=builder, device=device, db=dbCore)


def server_ports() -> tuple[int, int]:
    """Return the TCP ports of the CA and the PVA server of this process, once it serves.

    EPICS writes them into the environment of the C library, where os.environ does not see them.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return int(getenv(b"RSRV_SERVER_PORT") or 0), int(getenv(b"PVAS_SERVER_PORT") or 0)
