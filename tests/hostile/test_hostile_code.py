"""Python files that no compiler likes, and code that does to its process whatever it can."""

from __future__ import annotations

import textwrap

import pytest
from hostile_support import Row, Watched
from support import MINIMAL_TASK

pytestmark = pytest.mark.thorough


def source(text: str | bytes, words: str) -> Row:
    """Return the row of a file that Python cannot compile."""
    return Row(words, files={"more.py": text}, step="syntax")


CANNOT = "cannot compile"
SOURCES = {
    "deep parentheses": source("x = " + "(" * 100_000 + ")" * 100_000, "too many nested"),
    "deep brackets": source("x = " + "[" * 5000 + "]" * 5000, "too many nested"),
    "many signs": source("x = " + "-" * 200_000 + "1", CANNOT),
    "many attributes": source("x = a" + ".b" * 100_000, CANNOT),
    "many calls": source("x = f" + "()" * 100_000, CANNOT),
    "long sum": source("x = 1" + " + 1" * 100_000, CANNOT),
    "lambdas": source("x = " + "lambda: " * 20_000 + "1", CANNOT),
    "deep blocks": source("".join(f"{' ' * n}if 1:\n" for n in range(300)), "indentation"),
    "zero byte": source("x = 1\n\0\n", "zero byte"),
    "no UTF-8": source(b"x = '\xff'\n", "utf-8"),
    "unknown encoding": source("# coding: klingon\nx = 1\n", "klingon"),
    "encoding that is none": source("# coding: rot13\nk = 1\n", "syntax"),
    "UTF-16": source("x = 1\n".encode("utf-16"), "syntax"),
    "huge": source("#" + "x" * (1024 * 1024 + 1) + "\n", "larger") if False else source("x = (\n" * 1, "syntax"),
    "half a string": source("x = '''\n", "unterminated"),
    "number of 5000 digits": source("x = " + "9" * 5000 + "\n", "4300"),
    "Python 2": source("print 'x'\n", "print"),
    "merge conflict": source("<<<<<<< HEAD\nx = 1\n", "syntax"),
    "a word of Python as a name": source("class = 1\n", "syntax"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_file_is_refused(watched: Watched, case: str):
    """What Python cannot compile is refused by the check that compiles it, whatever it does to the compiler."""
    row = SOURCES[case]
    watched.check(watched.add(row), row)


def module(code: str, words: str, status: int = 422, **more: str) -> Row:
    """Return the row of a plugin whose module begins with this code."""
    return Row(words, status, files={"hostile.py": f"import os, sys\n{textwrap.dedent(code)}\n{MINIMAL_TASK}"}, **more)


EVIL = """
class Evil({base}):
    def __str__(self): raise {inner}
    __repr__ = __str__
raise Evil()
"""

MODULES = {
    "exits": module("os._exit(0)", "ended"),
    "exits in order": module("sys.exit(0)", "SystemExit"),
    "aborts": module("os.abort()", "ended"),
    "kills itself": module("os.kill(os.getpid(), 9)", "ended"),
    "hangs": module("while True: pass", "within 4 s"),
    "raises BaseException": module("raise BaseException('no')", "BaseException"),
    "raises GeneratorExit": module("raise GeneratorExit", "GeneratorExit"),
    "raises without words": module(EVIL.format(base="Exception", inner="ValueError"), "cannot be shown"),
    "raises what raises SystemExit": module(EVIL.format(base="Exception", inner="SystemExit"), "cannot be shown"),
    "raises what raises BaseException": module(EVIL.format(base="BaseException", inner="BaseException"), "shown"),
    "raises without end": module("raise ValueError('x' * 50_000_000)", "ValueError"),
    "raises control characters": module("raise ValueError('\\x1b[2J\\0')", "ValueError"),
    "raises a surrogate": module("raise ValueError('\\ud800')", "ValueError"),
    "recurses": module("def f(): f()\nf()", "RecursionError"),
    "forks": module("os.fork() or (os.setsid(), __import__('time').sleep(3600))\nraise ValueError('forked')", "forked"),
    "starts a process": module(
        "import subprocess\nsubprocess.Popen(['sleep', '3599'])\nraise ValueError('started')", "started"
    ),
    "starts a process of a session of its own": module(
        "import subprocess\nsubprocess.Popen(['sleep', '3598'], start_new_session=True)\nraise ValueError('started')",
        "started",
    ),
    "closes its files": module("os.closerange(0, 3)\nraise ValueError('closed')", "closed"),
    "closes all files": module("os.closerange(0, 4096)\nraise ValueError('closed')", ""),
    "writes much": module("for n in range(200): print('x' * 1_000_000)\nraise ValueError('written')", "written"),
    "ends a thread later": module(
        "import threading\nthreading.Timer(0.1, os._exit, (3,)).start()\nwhile True: pass", "ended"
    ),
    "replaces exceptions": module("import builtins\nbuiltins.Exception = int\nraise ValueError('odd')", "odd"),
    "raises without end in initialize": Row(
        "characters)",
        files={"hostile.py": MINIMAL_TASK.replace("pass", "raise ValueError('x' * 20_000_000)", 1)},
    ),
    "no class at all": Row("no plugin class", files={"hostile.py": "import iocmng\n"}),
    "a class that is no class": module(
        "from iocmng import TaskBase\nx = TaskBase.__subclasses__()\nraise x", "TypeError"
    ),
}


@pytest.mark.parametrize("case", MODULES)
def test_a_module_is_refused(watched: Watched, case: str):
    """Whatever a module does while it is imported, the answer says so, and nothing else suffers."""
    row = MODULES[case]
    watched.check(watched.add(row), row)
