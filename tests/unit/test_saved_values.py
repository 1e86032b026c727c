"""Values that outlive the process: what is written, what is put back, and what a bad file or disk does."""

import json
import logging
import math

import pytest
from base_fakes import FakePvs
from hypothesis import given
from hypothesis import strategies as st

from iocmng.base.saved_values import SavedValues, is_saved
from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.manifest_text import parse_manifest

ONE_OF_EACH = """\
pvs:
  inputs:
    FLOAT: {type: float, value: 1.5}
    INT: {type: int, value: 3}
    BOOL: {type: bool}
    STRING: {type: string, value: first}
    ENUM: {type: enum, states: ["Off", Standby, Measure]}
    NOT_SAVED: {type: float, autosave: false}
  outputs:
    COUNTER: {type: int, autosave: true}
    READING: {type: float}
"""


class Records(FakePvs):
    """Records with their initial values, which take what the real ones take."""

    def __init__(self, declared):
        super().__init__()
        self.declared = {pv.name: pv.pv for pv in declared}
        self.values = {pv.name: pv.pv.coerce(pv.pv.value) for pv in declared}

    def put(self, name, value, severity=None):
        pv, fitting = self.declared[name], self.declared[name].coerce(value)
        if getattr(pv, "drive_low", None) is not None:
            fitting = min(max(fitting, pv.drive_low), pv.drive_high)
        super().put(name, fitting, severity)


def make(directory, config=ONE_OF_EACH, kind=Kind.TASK):
    """Return the records of a new process of the plugin and what keeps their values; nothing is restored yet."""
    declared = parse_manifest(config, "config.yaml").declared_pvs(kind, Mode.CONTINUOUS)
    records = Records(declared)
    return records, SavedValues(directory, "pump", declared, records, logging.getLogger("iocmng.test"))


def begin(directory, config=ONE_OF_EACH):
    """Return the same with the values restored."""
    records, saved = make(directory, config)
    saved.restore()
    return records, saved


def test_inputs_and_chosen_outputs_are_saved_and_of_the_built_in_pvs_a_pause():
    """`autosave` decides; unset means yes for inputs, no for outputs."""
    declared = parse_manifest(ONE_OF_EACH, "config.yaml").declared_pvs(Kind.TASK, Mode.TRIGGERED)
    names = {"FLOAT", "INT", "BOOL", "STRING", "ENUM", "COUNTER", "ENABLE"}
    assert {pv.name for pv in declared if is_saved(pv)} == names


def test_values_come_back(tmp_path):
    """Of every type, in a new process with the same directory; what is not to be saved has its initial value."""
    puts = {"FLOAT": 2.5, "INT": -7, "BOOL": True, "STRING": "two: words", "ENUM": 2, "COUNTER": 12, "ENABLE": False}
    records, saved = begin(tmp_path / "new" / "directory")
    records.values |= puts | {"NOT_SAVED": 5.0, "READING": 5.0}
    saved.save()
    again, _ = begin(tmp_path / "new" / "directory")
    assert {name: again.values[name] for name in puts} == puts
    assert (again.values["NOT_SAVED"], again.values["READING"]) == (0.0, 0.0)


@given(
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
    number=st.floats(),
    whole=st.integers(-(2**31), 2**31 - 1),
)
def test_every_value_comes_back_as_it_was(tmp_path_factory, text, number, whole):
    """Infinity, NaN, control characters, texts that look like numbers, dates or YAML."""
    directory = tmp_path_factory.mktemp("values")
    records, saved = begin(directory)
    records.values |= {"STRING": text, "FLOAT": number, "INT": whole}
    saved.save()
    again, _ = begin(directory)
    assert (again.values["STRING"], again.values["INT"]) == (text, whole)
    assert repr(again.values["FLOAT"]) == repr(number)


def test_the_file_is_readable(tmp_path):
    """YAML with the names of config.yaml and of the states, for whoever has to look into it."""
    records, saved = begin(tmp_path)
    records.values |= {"ENUM": 1}
    saved.save()
    lines = (tmp_path / "pump.softsav").read_text().splitlines()
    expected = ["ENABLE: true", "FLOAT: 1.5", "INT: 3", "BOOL: false", "STRING: first", "ENUM: Standby", "COUNTER: 0"]
    assert lines == expected
    assert [file.name for file in tmp_path.iterdir()] == ["pump.softsav"]


def test_the_file_is_written_only_when_a_value_changes(tmp_path):
    """A value that is NaN changes as little as any other, and restoring changes nothing either."""
    records, saved = begin(tmp_path)
    records.values["FLOAT"] = math.nan
    saved.save()
    file = tmp_path / "pump.softsav"
    before = file.stat().st_ino
    saved.save()
    assert file.stat().st_ino == before
    records.values["FLOAT"] = 1.0
    saved.save()
    assert file.stat().st_ino != before
    before = file.stat().st_ino
    _, again = begin(tmp_path)
    again.save()
    assert file.stat().st_ino == before


def test_nothing_is_written_before_the_values_are_restored(tmp_path):
    """On a reload the new process is built, and perhaps thrown away, while the old one still saves."""
    records, saved = begin(tmp_path)
    records.values["FLOAT"] = 2.5
    saved.save()
    _, new = make(tmp_path)
    new.save()
    records.values["FLOAT"] = 3.5
    saved.save()
    new.restore()
    assert begin(tmp_path)[0].values["FLOAT"] == 3.5


def test_states_are_known_by_name(tmp_path):
    """When a new version puts a state before the others, the restored state is still the one that was chosen."""
    records, saved = begin(tmp_path, "pvs: {inputs: {ENUM: {type: enum, states: [Standby, Measure]}}}")
    records.values["ENUM"] = 1
    saved.save()
    again, _ = begin(tmp_path, "pvs: {inputs: {ENUM: {type: enum, states: [Closed, Standby, Measure]}}}")
    assert again.values["ENUM"] == 2


MISFITS = {
    "text for a float": ("FLOAT", "warm", 1.5),
    "bool for a float": ("FLOAT", True, 1.5),
    "fraction for an int": ("INT", 2.5, 3),
    "too big for an int": ("INT", 2**31, 3),
    "number for a bool": ("BOOL", 2.5, False),
    "number for a text": ("STRING", 5, "first"),
    "list for a text": ("STRING", [1], "first"),
    "nothing": ("STRING", None, "first"),
    "unknown state": ("ENUM", "Broken", 0),
    "state beyond the last": ("ENUM", 7, 0),
    "bool for an enum": ("ENUM", True, 0),
}


@pytest.mark.parametrize(("name", "value", "initial"), MISFITS.values(), ids=MISFITS)
def test_a_value_that_does_not_fit_is_passed_over(tmp_path, caplog, name, value, initial):
    """The PV has its initial value, a warning names it, and the others are restored."""
    other = {"COUNTER": 12}
    (tmp_path / "pump.softsav").write_text(json.dumps({name: value} | other), encoding="utf-8")
    records, _ = begin(tmp_path)
    assert (records.values[name], records.values["COUNTER"]) == (initial, 12)
    [warning] = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert warning.startswith(f"{name} was saved as ")


def test_what_a_version_cannot_use_is_there_again_when_the_old_one_returns(tmp_path, caplog):
    """A new version without a PV, or with another type, may fail; the version before it gets its setpoints back."""
    records, saved = begin(tmp_path)
    records.values |= {"FLOAT": 2.5, "ENUM": 2}
    saved.save()
    new, saved = begin(tmp_path, "pvs: {inputs: {ENUM: {type: int, value: 4}, MORE: {type: int}}}")
    assert new.values["ENUM"] == 4
    assert "FLOAT was saved as 2.5, but there is no such PV any longer" in caplog.text
    new.values["MORE"] = 1
    saved.save()
    records, _ = begin(tmp_path)
    assert (records.values["FLOAT"], records.values["ENUM"]) == (2.5, 2)


def test_a_value_that_somebody_sets_replaces_the_one_that_did_not_fit(tmp_path):
    """From then on the new version's value is the saved one."""
    (tmp_path / "pump.softsav").write_text("ENUM: Measure\n", encoding="utf-8")
    config = "pvs: {inputs: {ENUM: {type: int, value: 4}}}"
    records, saved = begin(tmp_path, config)
    records.values["ENUM"] = 5
    saved.save()
    assert begin(tmp_path, config)[0].values["ENUM"] == 5


def test_drive_limits_hold_for_restored_values(tmp_path, caplog):
    """A setpoint beyond new limits is clamped as a put is, and a warning says so."""
    (tmp_path / "pump.softsav").write_text("FLOAT: 15.0\n", encoding="utf-8")
    records, _ = begin(tmp_path, "pvs: {inputs: {FLOAT: {type: float, drive_low: 0, drive_high: 10}}}")
    assert records.values["FLOAT"] == 10
    assert "FLOAT was saved as 15.0; its drive limits make it 10" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"FLOAT: [", b"- 1\n- 2\n", b"\xff\xfe\x00", b"!!python/object:os.system {}", b"[" * 5000]
)
def test_a_damaged_file_is_set_aside(tmp_path, caplog, content):
    """The plugin starts with its initial values, the file is kept for whoever wants to look, and saving goes on."""
    file = tmp_path / "pump.softsav"
    file.with_suffix(".softsav.damaged").write_text("from last time", encoding="utf-8")
    file.write_bytes(content)
    records, saved = begin(tmp_path)
    assert records.values["FLOAT"] == 1.5
    assert file.with_suffix(".softsav.damaged").read_bytes() == content
    [warning] = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert warning.startswith(f"cannot read the saved PV values in {file}: ")
    assert "pump.softsav.damaged" in warning
    records.values["FLOAT"] = 2.5
    saved.save()
    assert begin(tmp_path)[0].values["FLOAT"] == 2.5


def test_a_file_that_cannot_be_read_is_set_aside(tmp_path):
    """Here a directory in its place."""
    (tmp_path / "pump.softsav").mkdir()
    _, saved = begin(tmp_path)
    saved.save()
    assert (tmp_path / "pump.softsav").is_file()
    assert (tmp_path / "pump.softsav.damaged").is_dir()


def test_a_directory_that_cannot_be_made(tmp_path, caplog):
    """One warning; the plugin runs and nothing is saved."""
    (tmp_path / "file").touch()
    records, saved = begin(tmp_path / "file" / "pump")
    records.values["FLOAT"] = 2.5
    saved.save()
    assert [line.message.split(":")[0] for line in caplog.records] == ["PV values will not outlive this process"]


def test_a_disk_that_cannot_be_written_is_told_of_once(tmp_path, caplog):
    """A directory that goes away is not made again, because the plugin may have been removed; a new one is used."""
    directory = tmp_path / "pump"
    records, saved = begin(directory)
    directory.rmdir()
    for number in range(3):
        records.values["INT"] = number
        saved.save()
    [warning] = [line.message for line in caplog.records]
    assert warning.startswith("cannot save PV values, a restart would lose them: ")
    assert not directory.exists()
    directory.mkdir()
    saved.save()
    assert begin(directory)[0].values["INT"] == 2


def test_a_plugin_without_saved_values_leaves_no_directory(tmp_path):
    """A job without inputs has nothing to save."""
    _, saved = make(tmp_path / "job", "pvs: {outputs: {READING: {type: float}}}", Kind.JOB)
    saved.restore()
    saved.save()
    assert not (tmp_path / "job").exists()
