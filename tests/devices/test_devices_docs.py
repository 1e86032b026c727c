"""What the page about devices shows, on a real IOC: its values.yaml and its plugins, but for the prefix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from beamline import MotorIoc
from docs_blocks import ROOT, blocks
from ioc_process import Ioc
from support import caget, write_files

pytestmark = pytest.mark.thorough

PAGE = ROOT / "docs" / "how-to" / "use-ophyd-devices.md"
FILES = {str(block.title): block.text for block in blocks(PAGE) if block.title}


@pytest.mark.parametrize(("plugin", "record"), [("move_motor", "M1"), ("move_async", "M2")])
def test_the_pages_plugins_move_motors(
    plugin: str, record: str, start: Callable[..., Ioc], motors: MotorIoc, tmp_path: Path
) -> None:
    """Each plugin of the page moves its motor of the page's values.yaml."""
    first, _, last = motors.prefix.rpartition(":")
    here = (
        FILES["values.yaml"].replace("SPARC:MOT", motors.prefix).replace("iocprefix: SPARC\n", f"iocprefix: {first}\n")
    )
    write_files(tmp_path, FILES | {"values.yaml": here.replace("iocroot: MOT", f"iocroot: {last}")})
    ioc = start(tmp_path / plugin, tmp_path / "values.yaml").wait_until_serving()
    ioc.wait_value("STATUS", "INIT")
    ioc.put("TARGET", 8)
    ioc.put("RUN", 1)
    ioc.wait_value("POSITION", "8")
    assert caget(f"{motors.prefix}:{record}.RBV") == "8"
