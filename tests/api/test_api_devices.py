"""GET /devices: what values.yaml describes, and what plugins have made."""

from __future__ import annotations

from typing import Any

from api_fakes import FakeController, Serving, plugin_object

from iocmng.api.device_schemas import DeviceList
from iocmng.api.schemas import PluginObject
from iocmng.core.devices import DeviceSpec, DeviceTable

TABLE = DeviceTable(
    True,
    {
        "M1": DeviceSpec("M1", "X:M1", "motors", "motor", "mot", "asyn"),
        "S1": DeviceSpec("S1", "X:S1", "slits", device_class="ophyd.EpicsMotor"),
    },
    ("epicsConfiguration.iocs[2] has no name",),
)


def made(name: str, prefix: str, device_class: str) -> dict[str, Any]:
    return {"name": name, "prefix": prefix, "class": device_class}


async def devices_of(serving: Serving, controller: FakeController) -> dict[str, Any]:
    """Return the answer of one GET /devices, which is what the documentation says it is."""
    async with serving(controller) as client:
        answer = await client.get("/devices")
    assert answer.status_code == 200
    assert DeviceList.model_validate(answer.json()).model_dump(mode="json") == answer.json()
    return answer.json()


async def test_devices_switched_off_on_the_server(serving: Serving) -> None:
    """Without ophyd there is nothing, and the answer says so."""
    shown = await devices_of(serving, FakeController())
    assert (shown["enabled"], shown["devices"], shown["count"]) == (False, [], 0)


async def test_what_is_known(serving: Serving) -> None:
    """Devices of values.yaml are listed before anybody has made them, and so is what could not be used."""
    controller = FakeController()
    controller.devices = TABLE
    shown = await devices_of(serving, controller)
    first, second = shown["devices"]
    assert first == {
        "name": "M1",
        "ioc": "motors",
        "prefix": "X:M1",
        "class": None,
        "devgroup": "mot",
        "devtype": "asyn",
        "created_by": [],
    }
    assert second["class"] == "ophyd.EpicsMotor"
    assert (shown["count"], shown["enabled"], shown["problems"]) == (2, True, list(TABLE.problems))
    assert (shown["available"], shown["created"]) == (["M1", "S1"], [])


async def test_what_plugins_have_made(serving: Serving) -> None:
    """Each device names the plugins that have made it; an author's own is listed even where its name is taken."""
    controller = FakeController(
        plugin_object("b", devices=[made("M1", "X:M1", "hal.Motor"), made("S1", "Y:S1", "own.Slit")]),
        plugin_object("a", devices=[made("M1", "X:M1", "hal.Motor"), made("mine", "Z:1", "own.Thing")]),
        plugin_object("c"),
    )
    controller.devices = TABLE
    shown = await devices_of(serving, controller)
    rows = [(row["name"], row["prefix"], row["ioc"], row["class"], row["created_by"]) for row in shown["devices"]]
    assert rows == [
        ("M1", "X:M1", "motors", "hal.Motor", ["a", "b"]),
        ("S1", "X:S1", "slits", "ophyd.EpicsMotor", []),
        ("mine", "Z:1", None, "own.Thing", ["a"]),
        ("S1", "Y:S1", None, "own.Slit", ["b"]),
    ]
    assert shown["created"] == ["M1", "S1", "mine"]
    assert (shown["count"], shown["available_count"], shown["created_count"]) == (4, 2, 3)


async def test_the_answer_follows_the_plugins(serving: Serving) -> None:
    """A device that is made, and a plugin that goes, change the answer; the table stays."""
    controller = FakeController()
    controller.devices = TABLE
    async with serving(controller) as client:
        await client.get("/devices")
        controller.put(plugin_object("a", devices=[made("M1", "X:M1", "hal.Motor")]))
        await controller.seen()
        assert (await client.get("/devices")).json()["created"] == ["M1"]
        controller.drop("a")
        await controller.seen()
        shown = (await client.get("/devices")).json()
        assert (shown["created"], shown["available"]) == ([], ["M1", "S1"])


async def test_the_plugin_object_has_them(serving: Serving) -> None:
    """A plugin's own object lists what it has made."""
    plugin = plugin_object("a", devices=[made("M1", "X:M1", "hal.Motor")])
    async with serving(FakeController(plugin)) as client:
        shown = (await client.get("/plugins/a")).json()
    assert PluginObject.model_validate(shown).model_dump(mode="json") == shown == plugin
