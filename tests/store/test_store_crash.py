"""What a process that ends at any moment leaves behind."""

from __future__ import annotations

import os
import random
import signal
import sqlite3

import pytest
from store_support import StoreProcess, names

from iocmng.settings import Settings
from iocmng.store import open_store

pytestmark = pytest.mark.thorough

WRITER = """
for number in range(int(sys.stdin.readline()), 10**9):
    store.save(entry(f"plugin{number % 7}", number), generation(f"plugin{number % 7}", number))
    store.add_events([event(number)])
    say(number)
"""

ADDER = """
for number in range(10**9):
    store.set_credential(f"plugin{number}", PAT)
    store.save(entry(f"plugin{number}"))
    say(number)
"""

HOLDER_WITH_CHILDREN = """
child = subprocess.Popen(["sleep", "600"], close_fds=False)
fork = os.fork()
if fork == 0:
    time.sleep(600)
say(f"{child.pid} {fork}")
time.sleep(600)
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_answered(settings: Settings):
    """Six writers, each killed after a number of answers that differs from run to run."""
    newest = 1
    for _ in range(6):
        process = StoreProcess(settings, WRITER)
        assert process.process.stdin
        process.process.stdin.write(f"{newest + 1}\n")
        process.process.stdin.flush()
        for _ in range(random.randint(1, 60)):
            newest = int(process.line())
        newest = max([newest, *map(int, process.kill())])

        store = open_store(settings, lock_timeout=30)
        loaded = store.load()
        last = {entry.spec.name: entry.newest for entry in loaded.entries}
        ids = [event.id for event in store.events(None, 0, 100_000)]
        for number in range(max(2, newest - 6), newest + 1):
            name = f"plugin{number % 7}"
            assert last[name] >= number
            assert store.generations(name)[0].number >= number
        assert loaded.last_event >= newest
        assert ids[: newest - 1] == list(range(2, newest + 1)), "no event that was answered is missing"
        newest = loaded.last_event
        store.close()


def test_kill_9_between_credential_and_plugin_leaves_no_credential(settings: Settings):
    """A credential without a plugin is gone with the next start."""
    process = StoreProcess(settings, ADDER + "    if number == 3: store.set_credential('orphan', PAT); say('now')\n")
    while process.line() != "now":
        pass
    process.kill()
    store = open_store(settings, lock_timeout=30)
    assert store.credential("orphan") is None
    assert {"plugin0", "plugin3"} <= set(names(store))
    assert store.credential("plugin3")
    store.close()


@pytest.mark.slow
def test_kill_9_while_the_state_is_made_leaves_one_that_opens(sqlite_settings: Settings):
    """A state is complete or not there at all: each process is killed a little later than the one before."""
    for moment in range(0, 40, 4):
        script = f"""
import sqlite3, signal
from iocmng.store import sqlite as module
left = [{moment}]
def trace(statement):
    left[0] -= 1
    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
connect = sqlite3.connect
def traced(*args, **kwargs):
    raw = connect(*args, **kwargs)
    raw.set_trace_callback(trace)
    return raw
store.close()
for file in settings.state.glob("state.sqlite*"): file.unlink()
sqlite3.connect = traced
open_store(settings)
say("open")
"""
        process = StoreProcess(sqlite_settings, script)
        process.process.wait(60)
        assert process.process.returncode in (-signal.SIGKILL, 0)
        process.kill()
        store = open_store(sqlite_settings)
        assert store.load().entries == ()
        store.close()
        with sqlite3.connect(sqlite_settings.state / "state.sqlite") as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_children_of_a_killed_server_do_not_hold_its_state(settings: Settings):
    """Neither a forked child nor a program that was started keeps the lock."""
    process = StoreProcess(settings, HOLDER_WITH_CHILDREN)
    children = [int(pid) for pid in process.line().split()]
    try:
        process.process.kill()
        process.process.wait()
        open_store(settings, lock_timeout=30).close()
        assert all(_lives(pid) for pid in children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        process.kill()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
