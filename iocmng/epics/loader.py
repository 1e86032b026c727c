"""Loads EPICS into this process, in the one order that works."""

from __future__ import annotations

import ctypes
import os
import tempfile
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from iocmng.epics.access_check import epics_library, substitutions


@cache
def load_epics() -> Any:
    """Import softioc, with the PV Access server; return its modules in one namespace.

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
    return SimpleNamespace(
        alarm=alarm,
        builder=builder,
        device=device,
        db=dbCore,
        register=partial(imports.registerRecordDeviceDriver, pdbbase),
    )


def build_ioc(access: str, pv_prefix: str) -> bool:
    """Build the IOC with these access security rules; tell whether EPICS could.

    cainfo shows the rights that a client has, and screens can grey fields out.
    """
    db = load_epics().db
    epics_library()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".acf") as file:
        file.write(access)
        file.flush()
        db.asSetFilename(os.fsencode(file.name))
        db.asSetSubstitutions(substitutions(pv_prefix))
        return db.iocBuild() == 0


def server_ports() -> tuple[int, int]:
    """Return the TCP ports of the CA and the PVA server of this process, once it serves.

    EPICS writes them into the environment of the C library, where os.environ does not see them.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return int(getenv(b"RSRV_SERVER_PORT") or 0), int(getenv(b"PVAS_SERVER_PORT") or 0)
