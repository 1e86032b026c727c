"""Reads an access security file as an IOC would, in a process of its own: `python -m iocmng.epics.access_check FILE`.

It writes EPICS's messages to stderr and, if the file was taken, what EPICS has understood to stdout.
"""

from __future__ import annotations

import ctypes
import os
import sys

EXAMPLE_PREFIX = "PREFIX:PLUGIN"


def substitutions(pv_prefix: str) -> bytes:
    """Return the macros of an access security file: P is the plugin's PV prefix."""
    return f"P={pv_prefix}".encode()


def epics_library() -> ctypes.CDLL:
    """Return EPICS's libCom, told to go by the address from which a client comes, not by the name that it claims."""
    from setuptools_dso.runtime import find_dso

    library = ctypes.CDLL(find_dso("epicscorelibs.lib.Com"))
    ctypes.c_int.in_dll(library, "asCheckClientIP").value = 1
    return library


def main() -> None:
    """Check the file that the command line names."""
    library, libc = epics_library(), ctypes.CDLL(None)
    failed = library.asInitFile(os.fsencode(sys.argv[1]), substitutions(EXAMPLE_PREFIX)) != 0
    library.errlogFlush()
    if not failed:
        libc.fdopen.restype = ctypes.c_void_p
        stdout = ctypes.c_void_p(libc.fdopen(1, b"w"))
        library.asDumpFP(stdout, None, None, 0)
        libc.fflush(stdout)
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    main()
