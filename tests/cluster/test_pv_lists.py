"""IOCMNG_PVLIST_DIR: the names of each plugin's PVs, and where they are served, for feeders of ChannelFinder."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from iocmng.cluster.pv_lists import PvLists, files_of
from iocmng.core.state import Snapshot

pytestmark = pytest.mark.thorough


def plugin_object(pvs: list[str], port: int = 5064) -> dict[str, Any]:
    """Return as much of a plugin object as the lists need; without PVs it is down."""
    endpoint = {"host": "10.0.0.1", "ca_port": port, "pva_port": 5075} if pvs else None
    return {"built_pvs": pvs, "pv_prefix": "P:PUMP", "commit": None, "endpoint": endpoint}


class Snapshots:
    """Hands out snapshots that the test puts in, one by one."""

    def __init__(self):
        self.queue: asyncio.Queue[Snapshot] = asyncio.Queue()
        self.asked: list[tuple[str, int]] = []
        self.idle = asyncio.Event()

    async def watch(self, epoch: str, version: int) -> Snapshot:
        """Return the next one; `idle` is set while there is none."""
        self.asked.append((epoch, version))
        if self.queue.empty():
            self.idle.set()
        return await self.queue.get()

    async def show(self, **plugins: list[str] | None) -> None:
        """Have these plugins serve these PVs, or be gone, and return when that was taken note of."""
        self.idle.clear()
        objects = {name: None if pvs is None else plugin_object(pvs) for name, pvs in plugins.items()}
        self.queue.put_nowait(Snapshot("e", len(self.asked), False, objects, True))
        await asyncio.wait_for(self.idle.wait(), 10)


@pytest.fixture
async def snapshots(tmp_path):
    """Snapshots that a PvLists follows, which keeps its files in the test's directory."""
    source = Snapshots()
    task = asyncio.create_task(PvLists(tmp_path / "lists", source.watch).run())
    yield source
    task.cancel()


def lists(tmp_path: Path) -> dict[str, str]:
    """Return the lists, and what is not ours, below the directory."""
    found = [file for file in (tmp_path / "lists").rglob("*") if not file.name.endswith("-config.yaml")]
    return {str(file.relative_to(tmp_path / "lists")): file.read_text() for file in found if file.is_file()}


async def test_a_list_comes_stays_and_goes_with_its_plugin(snapshots, tmp_path):
    """One name a line, sorted; a plugin that is down keeps its list, one that is removed takes it along."""
    await snapshots.show(pump=["P:PUMP:STATUS", "P:PUMP:FLOW"], other=[])
    assert lists(tmp_path) == {"pump/pvlist.txt": "P:PUMP:FLOW\nP:PUMP:STATUS\n"}
    await snapshots.show(pump=[])
    assert lists(tmp_path) == {"pump/pvlist.txt": "P:PUMP:FLOW\nP:PUMP:STATUS\n"}
    await snapshots.show(pump=["P:PUMP:STATUS"])
    assert lists(tmp_path) == {"pump/pvlist.txt": "P:PUMP:STATUS\n"}
    await snapshots.show(pump=None, other=None)
    assert list((tmp_path / "lists").iterdir()) == []
    assert snapshots.asked[:2] == [("", 0), ("e", 1)]


async def test_where_the_ioc_is_stands_beside_the_list(snapshots, tmp_path):
    """In the keys that feeders store; it follows an IOC that takes other ports."""
    await snapshots.show(pump=["P:PUMP:STATUS"])
    facts = yaml.safe_load((tmp_path / "lists/pump/pump-config.yaml").read_text())
    assert facts == {
        "iocname": "pump", "iocprefix": "P:PUMP", "devtype": "softioc", "ioc_version": "local",
        "host": "10.0.0.1", "ca_server_port": 5064, "pva_server_port": 5075, "pva": True,
    }  # fmt: skip
    assert files_of("pump", plugin_object(["A"], 40000))["pump-config.yaml"].count("ca_server_port: 40000") == 1


async def test_what_others_have_written_is_left_alone(snapshots, tmp_path):
    """The directory belongs to all IOCs of the beamline."""
    foreign = tmp_path / "lists" / "pump" / "start.log"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("IOC Version: 1\n")
    (tmp_path / "lists" / "motor").mkdir()
    (tmp_path / "lists" / "motor" / "pvlist.txt").write_text("M\n")
    await snapshots.show(pump=["A"])
    await snapshots.show(pump=None, motor=None)
    assert lists(tmp_path) == {"pump/start.log": "IOC Version: 1\n", "motor/pvlist.txt": "M\n"}


async def test_a_directory_that_cannot_be_written_is_told_once(snapshots, tmp_path, caplog):
    """The plugins go on; when it can be written again the next change is in it."""
    (tmp_path / "lists").write_text("a file")
    with caplog.at_level(logging.ERROR):
        await snapshots.show(pump=["A"], valve=["B"])
    assert len(caplog.records) == 1
    assert "the list of the PVs of pump cannot be kept" in caplog.text
    (tmp_path / "lists").unlink()
    await snapshots.show(pump=["A"])
    assert lists(tmp_path) == {"pump/pvlist.txt": "A\n"}
