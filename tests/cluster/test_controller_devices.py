"""Devices on their way through the Controller: what is known to every reader, what was made from the reports."""

from dataclasses import replace

from controller_support import request, running, until, view

from iocmng.core.devices import CreatedDevice, DeviceSpec, DeviceTable

TABLE = DeviceTable(True, {"M1": DeviceSpec("M1", "X:M1", config={"password": "hush"})}, ("one problem",))


async def test_a_complete_snapshot_brings_the_table():
    """It shows which devices there are and not what they are made from; a snapshot of changes leaves it out."""
    async with running(devices=TABLE) as (controller, _):
        snapshot = await controller.watch("", 0)
        assert snapshot.devices == DeviceTable(True, {"M1": DeviceSpec("M1", "X:M1")}, ("one problem",))
        assert "hush" not in repr(snapshot)
        await controller.add(request(), None, wait=True)
        assert (await controller.watch(snapshot.epoch, snapshot.version)).devices is None


async def test_without_devices():
    """Where they are switched off, the table says so."""
    async with running() as (controller, _):
        assert (await controller.watch("", 0)).devices == DeviceTable()


async def test_what_a_plugin_has_made_is_shown_at_once():
    """A report with a new device wakes those who watch, as a change of status does."""
    async with running(devices=TABLE) as (controller, launcher):
        await controller.add(request(), None, wait=True)
        announced = controller._registry.announced
        handle = launcher.serving[-1]
        await handle.reports.put(replace(handle.report(), devices=(CreatedDevice("M1", "X:M1", "hal.Motor"),)))

        async def is_shown():
            return (await view(controller))["devices"]

        await until(is_shown)
        assert await is_shown() == [{"name": "M1", "prefix": "X:M1", "class": "hal.Motor"}]
        assert controller._registry.announced > announced
