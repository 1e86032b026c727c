"""What pv_client gives an author: plain values, the same over PV Access and Channel Access, from a real IOC."""

import json
import os
import subprocess
import sys

import numpy
import pytest
from support import LOOPBACK

from iocmng.epics.plain import plain

SERVE = """\
import sys
from softioc import builder, softioc
import numpy

builder.SetDeviceName(sys.argv[1])
builder.aIn("FLOAT", initial_value=1.5)
builder.longIn("INT", initial_value=-7)
builder.mbbIn("ENUM", "IDLE", "BUSY", initial_value=1)
builder.boolIn("BOOL", "NO", "YES", initial_value=True)
builder.stringIn("TEXT", initial_value="some text")
builder.WaveformIn("ARRAY", initial_value=numpy.array([1.0, 2.5]))
builder.WaveformIn("INTS", initial_value=numpy.array([1, 2, 3], dtype=numpy.int32))
builder.LoadDatabase()
softioc.iocInit()
print("serves", flush=True)
sys.stdin.read()
"""

READ = """\
import json, sys
from iocmng.epics.clients import EpicsPvClient

client = EpicsPvClient(sys.argv[2] == "pva")
found = {}
for name in ("FLOAT", "INT", "ENUM", "BOOL", "TEXT", "ARRAY", "INTS"):
    value = client.get(f"{sys.argv[1]}:{name}", 20)
    kind = type(value)
    found[name] = [kind.__module__ + "." + kind.__name__, str(value), str(getattr(value, "dtype", ""))]
print(json.dumps(found))
"""

EXPECTED = {
    "FLOAT": ["builtins.float", "1.5", ""],
    "INT": ["builtins.int", "-7", ""],
    "ENUM": ["builtins.int", "1", ""],
    "BOOL": ["builtins.int", "1", ""],
    "TEXT": ["builtins.str", "some text", ""],
    "ARRAY": ["numpy.ndarray", "[1.  2.5]", "float64"],
    "INTS": ["numpy.ndarray", "[1 2 3]", "int32"],
}


@pytest.fixture(scope="module")
def prefix():
    """The prefix of a soft IOC with one record of each kind."""
    name = f"PVCLIENT-{os.getpid()}"
    ioc = subprocess.Popen(
        [sys.executable, "-c", SERVE, name],
        env=os.environ | LOOPBACK,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in ioc.stdout:
        if line == "serves\n":
            break
    yield name
    ioc.stdin.close()
    ioc.wait(15)


@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_values_are_plain_and_the_same_over_both_protocols(prefix, protocol):
    """No type of p4p or cothread reaches the author, so str() shows the value and no time stamp."""
    done = subprocess.run(
        [sys.executable, "-c", READ, prefix, protocol],
        env=os.environ | LOOPBACK,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == EXPECTED


def test_values_that_no_record_has_are_plain_too():
    """Truth values, lists of texts, and structures of other servers of PV Access."""
    from p4p import Type, Value
    from p4p.nt import NTScalar

    truth = NTScalar("?").unwrap(NTScalar("?").wrap(True))
    assert plain(truth) is True
    texts = plain(NTScalar("as").unwrap(NTScalar("as").wrap(["a", "b"])))
    assert (type(texts), texts) == (list, ["a", "b"])
    assert plain(numpy.array(["a", "b"])) == ["a", "b"]
    structure = Value(Type([("x", "d"), ("inner", ("S", None, [("y", "ai")]))]), {"x": 1.5, "inner": {"y": [1, 2]}})
    made = plain(structure)
    assert (made["x"], list(made["inner"]["y"])) == (1.5, [1, 2])
    assert type(plain(numpy.float64(2))) is float
