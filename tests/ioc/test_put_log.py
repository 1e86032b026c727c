"""Who has written what: over Channel Access and PV Access, in the plugin's log."""

import getpass
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ioc_process import Ioc, copy_plugin
from p4p.client.thread import Context, RemoteError
from support import tool, wait_for

USER = getpass.getuser()


def lines(ioc: Ioc, name: str) -> list[str]:
    """Return the lines of the log about puts to a PV."""
    return [line for line in ioc.output().splitlines() if f"{ioc.pv(name)} written by " in line]


def told(ioc: Ioc, name: str, what: str) -> str:
    """Return the line about a put once it is there."""
    wait_for(lambda: any(what in line for line in lines(ioc, name)), f"{what} of {name} in the log")
    return next(line for line in lines(ioc, name) if what in line)


PUTS = [
    ("FLOAT", "2.75", "2.75"),
    ("INT", "-42", "-42"),
    ("BOOL", "OPEN", "OPEN"),
    ("STRING", "by hand", "by hand"),
    ("ENUM", "Measure", "Measure"),
    ("ENABLE", "DISABLED", "DISABLED"),
    ("CLEAR", "1", ""),
    ("RESET", "1", ""),
    ("FLOAT.DRVH", "44", "44.00"),
]


@pytest.fixture
def fresh(start: Callable[..., Ioc], tmp_path: Path) -> Ioc:
    """A puppet of the test's own, whose PVs have their first values."""
    return start(copy_plugin("puppet", tmp_path), IOCMNG_LOG_LEVEL="info").wait_until_serving()


def test_puts_are_told_with_user_host_and_values(fresh: Ioc, pva: Context) -> None:
    """Over both protocols: inputs, built-in PVs, and fields of both; once each; refused ones never."""
    for name, value, shown in PUTS:
        fresh.put(name, value)
        line = told(fresh, name, " over ca: '")
        assert re.search(rf"written by {USER}@\S+ over ca: '.*' -> '.*'", line), line
        assert not shown or f"-> '{shown}'" in line
        assert len(lines(fresh, name)) == 1
    pva.put(fresh.pv("INT"), 17, timeout=20)
    assert re.search(rf"written by {USER}@\S+ over pva: '-42' -> '17'", told(fresh, "INT", "over pva"))
    pva.put(fresh.pv("BOOL_PLAIN"), 1, timeout=20)
    assert f"{USER}@" in told(fresh, "BOOL_PLAIN", "over pva")
    assert tool("caput", "-w", "5", fresh.pv("OUT_FLOAT"), "3").returncode != 0
    with pytest.raises(RemoteError):
        pva.put(fresh.pv("OUT_FLOAT"), 3.0, timeout=20)
    assert lines(fresh, "OUT_FLOAT") == []


def test_a_flood_is_told_by_its_number(fresh: Ioc, pva: Context) -> None:
    """Hundreds of puts are a few lines, and none is forgotten."""
    for number in range(1, 301):
        pva.put(fresh.pv("INT"), number % 50, timeout=20)

    def counted() -> int:
        more = [re.search(r"\((\d+) more puts\)", line) for line in lines(fresh, "INT")]
        return sum(int(match[1]) if match else 1 for match in more)

    wait_for(lambda: counted() == 300, "300 puts in the log")
    assert len(lines(fresh, "INT")) < 30


def test_the_plugin_s_own_puts_are_not_told(fresh: Ioc) -> None:
    """Neither its outputs nor an input that it sets itself."""
    fresh.wait_value("FROM_INITIALIZE", "ready")
    wait_for(lambda: int(fresh.get("CYCLE_COUNT")) > 3, "some cycles")
    assert " written by " not in fresh.output()
