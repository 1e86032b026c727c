"""The second name of each PV of a plugin with hyphens in its name: the same record, with '_' where '-' stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ioc_process import START_LIMIT, new_prefix
from support import LOOPBACK, caget, caput, tool, wait_for

LONGEST = 60


@pytest.fixture
def served(tmp_path):
    """Serve PVs under two names; return both prefixes, and what reads the output."""
    site = new_prefix()
    prefix, alias = f"{site}:MINE", f"{site}:MY_OLD_TASK"
    log = tmp_path / "log"
    command = [sys.executable, Path(__file__).with_name("alias_ioc.py"), prefix, alias]
    command.append(str(LONGEST - len(prefix) - 1))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | LOOPBACK, stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    wait_for(lambda: "serves" in log.read_text(), "the IOC serves", START_LIMIT)
    yield prefix, alias, log.read_text
    process.kill()
    process.communicate()


def test_both_names_are_one_record(served, pva):
    """Over CA and PV Access: value, unit and puts are the same, outputs are read-only, and a put is told once."""
    prefix, alias, output = served
    assert f"{prefix}:SETPOINT {alias}:SETPOINT\n" in output()
    assert caget(f"{alias}:READING") == "2"
    assert (caget(f"{alias}:SETPOINT.EGU"), caget(f"{alias}:SETPOINT.NAME")) == ("mm", f"{prefix}:SETPOINT")
    assert "New" in caput(f"{alias}:SETPOINT", 5)
    assert caget(f"{prefix}:SETPOINT") == "5"
    assert float(pva.get(f"{alias}:SETPOINT", timeout=20)) == 5
    pva.put(f"{alias}:SETPOINT", 7, timeout=20)
    assert caget(f"{prefix}:SETPOINT") == "7"
    assert caget(f"{prefix}:READING.DESC") == caget(f"{alias}:READING.DESC")
    tool("caput", "-w", "2", f"{alias}:READING", "9")
    assert caget(f"{prefix}:READING") == "2"
    wait_for(lambda: output().count("on_write SETPOINT") == 2, "both puts are told")
    assert output().count(f"{alias}:SETPOINT 5") == 1


def test_a_name_that_would_be_too_long_is_left_out(served):
    """EPICS takes 60 characters: a record whose second name would have more has the first alone."""
    prefix, _, output = served
    name = f"{prefix}:{'X' * (LONGEST - len(prefix) - 1)}"
    assert f"{name} None\n" in output()
    assert caget(name) == "0"
