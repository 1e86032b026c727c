"""The lease of a process on another node, in a process of its own."""

import subprocess
import sys
import time

import pytest

from iocmng.cluster.lease import EXIT_STATUS, LOOK_EVERY, Lease, now

pytestmark = pytest.mark.thorough

SCRIPT = """
import ctypes, sys, threading, time
from concurrent.futures import Future
from iocmng.cluster import lease

lease.CLEANUP_LIMIT = 0.5


class Host:
    def end(self):
        ended = Future()
        if sys.argv[1] == "prompt":
            ended.set_result(None)
        return ended


mine = lease.Lease()
for _ in range(3):
    assert mine.renew(0.8, lease.now(), Host())
    time.sleep(0.5)
print("renewed", flush=True)
if sys.argv[1] == "holds Python's lock":
    ctypes.PyDLL(None).sleep(60)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("how", "status", "limit"),
    [
        ("prompt", EXIT_STATUS, 0.3 + LOOK_EVERY),
        ("cleanup() hangs", -14, 0.8),
        ("holds Python's lock", -14, 0.8),
    ],
)
def test_a_process_ends_with_its_lease(how, status, limit):
    """Whatever the author's code does; as long as the lease is renewed, it goes on."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "renewed\n"
        renewed = time.monotonic()
        assert process.wait(10) == status
        assert time.monotonic() - renewed < limit + 0.5


def test_a_call_that_was_under_way_for_too_long_renews_nothing():
    """The lease counts from the answer that the caller had at hand, not from the call's arrival."""
    lease = Lease()
    assert not lease.renew(5.0, now() - 6.0, None)
