"""What an author's create_device() comes to."""

from __future__ import annotations

import pickle

import pytest

from iocmng.core.devices import DeviceSpec, DeviceTable, DeviceWish
from iocmng.errors import AuthorError

MOTOR = DeviceSpec("GUNFLG01", "SPARC:MOT:GUNFLG01", "tml-ch1", devgroup="mot", devtype="asyn", config={"axid": 1})
TABLE = DeviceTable(True, {"GUNFLG01": MOTOR})


def test_a_name_of_the_table() -> None:
    """The name alone is the device of values.yaml."""
    assert TABLE.spec_for(DeviceWish("GUNFLG01")) is MOTOR


def test_what_is_given_is_laid_over_the_table() -> None:
    """A class and a name of the author's own replace those of values.yaml; prefix and IOC stay."""
    spec = TABLE.spec_for(DeviceWish("GUNFLG01", name="flag", device_class="ophyd.EpicsMotor", parameters={"a": 1}))
    assert (spec.name, spec.device_class, spec.parameters) == ("flag", "ophyd.EpicsMotor", {"a": 1})
    assert (spec.prefix, spec.ioc) == (MOTOR.prefix, MOTOR.ioc)


def test_a_device_of_the_authors_own() -> None:
    """A PV prefix with devgroup and devtype needs no table; the name is the prefix's last segment."""
    spec = DeviceTable(True).spec_for(DeviceWish("SPARC:MOT:X", "mot", "tml"))
    assert (spec.name, spec.prefix, spec.devgroup, spec.devtype, spec.ioc) == ("X", "SPARC:MOT:X", "mot", "tml", None)


def test_an_unknown_name_alone() -> None:
    """A name that values.yaml does not have is an error with the nearest one, and with what else could be given."""
    with pytest.raises(AuthorError, match=r"no device 'GUNFLG1' .*did you mean GUNFLG01\?.*devgroup and devtype"):
        TABLE.spec_for(DeviceWish("GUNFLG1"))
    with pytest.raises(AuthorError, match="which has 1 devices"):
        TABLE.spec_for(DeviceWish("ELSEWHERE:ENTIRELY"))


def test_a_table_crosses_processes() -> None:
    """The table reaches a plugin's process as it is."""
    assert pickle.loads(pickle.dumps(TABLE)) == TABLE
