"""The table of devices, read out of files such as beamlines have them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from iocmng.core.beamline_devices import read_devices
from iocmng.core.devices import DeviceTable

SPARC = """
beamline: sparc
namespace: sparc
giturl: https://git.example.org/epik8s-sparc.git
iocDefaults:
  motor:
    devgroup: mot
    devtype: technosoft-asyn
    charturl: https://git.example.org/ioc-chart.git
    resources: {limits: {cpu: 500m, memory: 256Mi}}
  agilent-vac: {devgroup: vac, devtype: ipcmini, devfunc: ion}
epicsConfiguration:
  address_list: ""
  services:
    gateway: {loadbalancer: 10.0.0.1}
    archiver: {devgroup: mot, devices: [{name: NOT_OURS}]}
  iocs:
    - name: tml-ch1
      template: motor
      iocprefix: "SPARC:MOT:TML"
      zones: [LINAC, GUN]
      resources: {limits: {cpu: 1000m}}
      iocparam: [{name: server, value: 10.0.0.7}, {name: port, value: 4001}]
      devices:
        - {name: GUNFLG01, axid: 1, poi: [{name: YAG, pos: 688640}]}
        - {name: "SCN01:MOT01", axid: 2, devtype: asyn, zones: GUN}
    - name: vac-gunvpc
      template: agilent-vac
      iocprefix: SPARC:VAC
      iocroot: GUNVPC
      devices: [{name: GUNSIP01, channel: 146}]
    - name: ocem-crate5
      iocprefix: SPARC:MAG
      devgroup: mag
      devices: [{name: ""}, {name: PTLVCR01}]
    - name: slits
      iocprefix: SPARC:DIAG
      devices:
        - {name: SLT01, class: ophyd.EpicsMotor, parameters: {settle_time: 0.5}}
        - name: UNKNOWN01
    - {name: llrf01, devgroup: rf, devtype: llrf, iocprefix: SPARC-RF}
    - {name: beamline-controller, iocprefix: SPARC:CONTROL, env: [{name: IOCMNG_PREFIX, value: SPARC:CONTROL}]}
    - {name: old-motors, disable: true, devgroup: mot, iocprefix: SPARC:OLD, devices: [{name: OLD01}]}
"""


def table_of(text: str) -> DeviceTable:
    return read_devices(yaml.safe_load(text) or {})


def prefixes(table: DeviceTable) -> dict[str, str]:
    return {name: device.prefix for name, device in table.devices.items()}


def in_ioc(**entry: Any) -> dict[str, Any]:
    """Return a beamline with one IOC of this entry."""
    return {"epicsConfiguration": {"iocs": [{"name": "m1", "devgroup": "mot", "iocprefix": "X"} | entry]}}


def test_a_real_file() -> None:
    """A beamline's own file gives its devices and no complaint; what says nothing of devices is passed over."""
    table = table_of(SPARC)
    assert table.problems == ()
    assert prefixes(table) == {
        "GUNFLG01": "SPARC:MOT:TML:GUNFLG01",
        "SCN01:MOT01": "SPARC:MOT:TML:SCN01:MOT01",
        "GUNSIP01": "SPARC:VAC:GUNVPC:GUNSIP01",
        "PTLVCR01": "SPARC:MAG:PTLVCR01",
        "SLT01": "SPARC:DIAG:SLT01",
        "llrf01": "SPARC-RF",
    }


def test_a_map_of_iocs_is_the_same_as_a_list() -> None:
    """IOCs by name, the newer form of the file, give the same table."""
    data = yaml.safe_load(SPARC)
    listed = data["epicsConfiguration"]["iocs"]
    data["epicsConfiguration"]["iocs"] = {ioc["name"]: ioc for ioc in listed}
    assert read_devices(data) == table_of(SPARC)
    for ioc in listed:
        ioc.pop("name")
    assert prefixes(read_devices(data)) == prefixes(table_of(SPARC))


def test_the_templates_defaults_lie_below_the_ioc() -> None:
    """iocDefaults[template] is merged deeply below the IOC, and the IOC's entry lies below the device's."""
    first, second = (table_of(SPARC).devices[name] for name in ("GUNFLG01", "SCN01:MOT01"))
    assert (first.template, first.ioc) == ("motor", "tml-ch1")
    assert (first.devgroup, first.devtype) == ("mot", "technosoft-asyn")
    assert (second.devgroup, second.devtype) == ("mot", "asyn")
    assert first.config["resources"] == {"limits": {"cpu": "1000m", "memory": "256Mi"}}
    assert first.config["poi"] == [{"name": "YAG", "pos": 688640}]
    assert (first.config["iocname"], first.config["zones"]) == ("tml-ch1", ["LINAC", "GUN"])
    assert second.config["zones"] == "GUN"


def test_a_class_with_its_parameters() -> None:
    """`class` names the device's class, in its own entry or for all of the IOC; `parameters` are that class's."""
    device = table_of(SPARC).devices["SLT01"]
    assert (device.device_class, device.parameters, device.devgroup) == ("ophyd.EpicsMotor", {"settle_time": 0.5}, None)
    for_all = read_devices(in_ioc(**{"class": "ophyd.EpicsMotor", "devices": {"A": None, "B": {"class": "own.Motor"}}}))
    assert [device.device_class for device in for_all.devices.values()] == ["ophyd.EpicsMotor", "own.Motor"]


def test_parameters_without_a_class_are_none_of_ours() -> None:
    """Where no class is given, `parameters` is the chart's key, whatever it holds."""
    table = read_devices(in_ioc(parameters=["--fast"], devices=["A"]))
    assert (table.problems, table.devices["A"].parameters) == ((), {})


@pytest.mark.parametrize("text", ["", "beamline: sparc", "epicsConfiguration:", "epicsConfiguration: {iocs: }"])
def test_a_file_without_iocs(text: str) -> None:
    """A file that describes no IOC gives no device, and that is no mistake."""
    table = table_of(text)
    assert (dict(table.devices), table.problems) == ({}, ())


def test_names_that_two_iocs_use() -> None:
    """The first keeps the name, the second is called IOC_NAME, a third of the same IOC is left out; all are named."""
    iocs = [
        {"name": name, "devgroup": "cam", "iocprefix": prefix, "devices": ["CAM01"]}
        for name, prefix in (("a", "A"), ("b", "B"), ("b", "C"))
    ]
    table = read_devices({"epicsConfiguration": {"iocs": iocs}})
    assert prefixes(table) == {"CAM01": "A:CAM01", "b_CAM01": "B:CAM01"}
    assert table.devices["b_CAM01"].name == "b_CAM01"
    assert table.problems == (
        "device CAM01 of IOC b has the name of one of IOC a; it is called b_CAM01",
        "device CAM01 of IOC b has the name of one of IOC a, and b_CAM01 is taken, too; it is left out",
    )


@pytest.mark.parametrize(
    ("iocs", "problem"),
    [
        ("many", "epicsConfiguration.iocs must be a list or a map, not the text 'many'"),
        ([7], "epicsConfiguration.iocs[0] must be a map that describes one IOC, not the number 7"),
        ([{"devgroup": "mot"}], "epicsConfiguration.iocs[0] has no name"),
        ({"a": [1]}, "epicsConfiguration.iocs.a must be a map that describes one IOC, not a list"),
        ([{"name": True}], "epicsConfiguration.iocs[0].name must be text, not true; write it in quotes"),
    ],
)
def test_broken_iocs_are_named(iocs: Any, problem: str) -> None:
    """What cannot be an IOC is named with its place."""
    assert read_devices({"epicsConfiguration": {"iocs": iocs}}).problems == (problem,)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"devgroup": ["mot"]}, ".devgroup must be text, not a list; write it in quotes"),
        ({"iocprefix": {"a": 1}}, ".iocprefix must be text, not a map; write it in quotes"),
        ({"devices": "M1"}, ".devices must be a list or a map, not the text 'M1'"),
        ({"devices": [["M1"]]}, ".devices[0] must be a map that describes one device, not a list"),
        ({"devices": [{"axid": 1}]}, ".devices[0] has no name"),
        ({"devices": [{"name": "M 1"}]}, ".devices[M 1]: 'X:M 1' cannot be the beginning of a PV name; see iocprefix,"),
        (
            {"devices": [{"name": "A", "class": "EpicsMotor"}]},
            ".devices[A].class must be a dotted path such as package.module.Class, not 'EpicsMotor'",
        ),
        (
            {"devices": [{"name": "A", "class": "ophyd.EpicsMotor", "parameters": [1]}]},
            ".devices[A].parameters must be a map of the class's keyword arguments, not a list",
        ),
    ],
)
def test_broken_devices_are_named(entry: dict[str, Any], problem: str) -> None:
    """A key of ours that holds the wrong thing costs its device, or its IOC, and is named with its place."""
    found = read_devices(in_ioc(**entry))
    assert len(found.problems) == 1
    assert found.problems[0].startswith(f"epicsConfiguration.iocs[m1]{problem}")
    assert dict(found.devices) == {}


def test_one_mistake_costs_one_device() -> None:
    """The devices beside a broken one are there all the same."""
    table = read_devices(in_ioc(devices=["A", {"name": "B", "class": 1.5}, "C"]))
    assert sorted(table.devices) == ["A", "C"]


def test_broken_defaults_are_named() -> None:
    """A broken iocDefaults costs the IOCs that use it."""
    beamline = in_ioc(template="motor", devices=["A"])
    assert read_devices(beamline | {"iocDefaults": ["motor"]}).problems == (
        "iocDefaults must be a map by template, not a list",
    )
    assert read_devices(beamline | {"iocDefaults": {"motor": 3}}).problems == (
        "iocDefaults.motor must be a map, not the number 3",
    )


def test_the_table_is_small_enough_to_hand_over() -> None:
    """A thousand devices weigh about as much as their file: devices of one IOC share its entry."""
    ioc = {"resources": {"limits": {"memory": "256Mi"}}, "iocparam": [{"name": f"p{i}", "value": i} for i in range(50)]}
    iocs = {
        f"ioc{number}": {"devgroup": "mot", "iocprefix": "X", "devices": [f"D{number}-{i}" for i in range(100)], **ioc}
        for number in range(10)
    }
    table = read_devices({"epicsConfiguration": {"iocs": iocs}})
    assert len(table.devices) == 1000
    assert len(pickle.dumps(table)) < 200_000


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=4), st.dates())
KEYS = st.sampled_from(
    [
        "name",
        "template",
        "iocprefix",
        "iocroot",
        "devices",
        "devgroup",
        "devtype",
        "class",
        "parameters",
        "disable",
        "m",
    ]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(0, 2), inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING, ANYTHING, st.booleans())
def test_whatever_stands_in_the_file(iocs: Any, defaults: Any, is_section: bool) -> None:
    """No contents of a YAML file raise anything; what is a device in the end has a name, a prefix and a class."""
    section = {"iocs": iocs} if is_section else iocs
    found = read_devices({"epicsConfiguration": section, "iocDefaults": defaults})
    for name, device in found.devices.items():
        assert name == device.name
        assert device.prefix
        assert device.devgroup or device.device_class


def test_a_single_device_can_be_disabled():
    """The others of its IOC stay; it is not said to be a problem."""
    devices = [{"name": "A"}, {"name": "B", "disable": True}]
    table = read_devices(
        {"epicsConfiguration": {"iocs": [{"name": "i", "devgroup": "mot", "iocprefix": "P", "devices": devices}]}}
    )
    assert (list(table.devices), table.problems) == (["A"], ())
