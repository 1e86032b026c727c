"""A site's own access security file: what is refused before any IOC starts, and how it is said."""

import os
import socket
import subprocess
import sys

import pytest
from support import free_port

from iocmng.core.pv_access import access_rules
from iocmng.epics.access import read_access
from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings

pytestmark = pytest.mark.thorough

GOOD = """\
# whoever is on shift
UAG(shift) { anna, bert }
HAG(consoles) { 127.0.0.1 }
ASG(DEFAULT) { RULE(1, READ) }
ASG(OUTPUT) { RULE(1, READ) }
ASG(INPUT) { RULE(1, READ) RULE(1, WRITE, TRAPWRITE) { UAG(shift) HAG(consoles) } }
ASG(CONTROL) { INPA("$(P):STATUS") RULE(1, READ) RULE(1, WRITE) { UAG(shift) CALC("A=1") } }
"""
OPEN_OUTPUT = GOOD.replace("ASG(OUTPUT) { RULE(1, READ) }", "ASG(OUTPUT) { RULE(1, WRITE) { UAG(shift) } }")

REFUSED = {
    "no OUTPUT": (GOOD.replace("ASG(OUTPUT)", "ASG(OUTPUTS)"), ["has no ASG(OUTPUT)", "rules of DEFAULT", "add it"]),
    "no INPUT, no CONTROL": (
        "ASG(OUTPUT) { RULE(1, READ) }\n",
        ["has no ASG(INPUT) and no ASG(CONTROL)", "add them"],
    ),
    "outputs for writing": (OPEN_OUTPUT, ["lets clients write outputs", "WRITE rule out of ASG(OUTPUT)"]),
    "brace missing": (GOOD.removesuffix("}\n"), ["syntax error at line 7"]),
    "unknown user group": (GOOD.replace("UAG(shift) {", "UAG(day) {"), ["line 6", "'shift'"]),
    "misspelled right": (GOOD.replace("RULE(1, WRITE) {", "RULE(1, WRIET) {"), ["line 7", "WRIET"]),
    "unknown macro": (GOOD.replace("$(P)", "$(PREFIX)"), ["PREFIX is undefined"]),
    "empty": ("", ["syntax error"]),
    "no text": (b"\xff\xfe\0", ["no text in UTF-8"]),
    "null bytes": (b"ASG(OUTPUT) \0", ["not text"]),
}


def rules(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_access(load_settings(access_file=path))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files(tmp_path, name):
    """EPICS's own parser reads the file; the sentence names it, the line, and what to do."""
    content, parts = REFUSED[name]
    file = tmp_path / "site.acf"
    with pytest.raises(InvalidRequest) as caught:
        rules(file, content)
    assert all(part in caught.value.message for part in [str(file), *parts]), caught.value.message
    assert "\x1b" not in caught.value.message


def test_file_that_cannot_be_read(tmp_path):
    """The sentence names the setting and the reason."""
    for place, reason in ((tmp_path / "none.acf", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidRequest, match=f"IOCMNG_ACCESS_FILE: cannot read .*{reason}"):
            read_access(load_settings(access_file=place))


def test_good_file(tmp_path):
    """It is taken as it is."""
    found = rules(tmp_path / "site.acf", GOOD)
    assert (found.text, found.warnings) == (GOOD, ())


def test_host_that_cannot_be_resolved(tmp_path):
    """A name that nobody knows is a warning: a desk that is off must not keep a beamline from starting."""
    name = "no-such-desk.invalid"
    [warning] = rules(tmp_path / "site.acf", GOOD.replace("127.0.0.1", f"localhost, {name}")).warnings
    assert name in warning
    assert "IPv4 address" in warning
    found = read_access(load_settings(access_hosts=f"localhost,{name}"))
    assert found.text == access_rules(("localhost", name), ())
    assert len(found.warnings) == 1


def test_server_says_so_and_ends(tmp_path):
    """No Ray and no IOC is started with a file that EPICS does not take."""
    file = tmp_path / "site.acf"
    file.write_text(OPEN_OUTPUT)
    port = free_port()
    own = {"IOCMNG_ACCESS_FILE": str(file), "IOCMNG_PORT": str(port), "IOCMNG_PLUGINS_DIR": str(tmp_path / "plugins")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    command = [sys.executable, "-m", "iocmng", "server"]
    done = subprocess.run(command, env=clean | own, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "lets clients write outputs" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "plugins").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
