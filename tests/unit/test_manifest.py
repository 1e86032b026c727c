"""What config.yaml may say, and the sentence for each thing that it may not."""

import json
from functools import partial

import jsonschema
import pytest
import yaml
from manifest_support import SEED_CONFIG, failures_of, the_failure, with_pv
from properties import given, st

from iocmng.core.builtin_pvs import Kind, Mode, reserved_names
from iocmng.core.manifest import Manifest, PvSections, check_record_names, json_schema
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.pv_fields import Alarms, Direction, Severity
from iocmng.core.pvs import BoolPv, DeclaredPv, EnumPv, FloatPv, IntPv, StringPv
from iocmng.errors import PluginRejected

MODELS = {"float": FloatPv, "int": IntPv, "bool": BoolPv, "string": StringPv, "enum": EnumPv}
SCHEMA = jsonschema.Draft202012Validator(json_schema())

# A body of each type with every key of the contract's table that it may have, and what becomes of it.
FULL = {
    "float": {
        "type": "float",
        "value": -1.5,
        "desc": "Current of the magnet",
        "autosave": True,
        "unit": "A",
        "prec": 2,
        "low": -10,
        "high": 10.5,
        "drive_low": -9,
        "drive_high": 9,
        "alarms": {
            "hihi": 8,
            "high": 7.5,
            "low": -7,
            "lolo": -8,
            "hihi_severity": "INVALID",
            "high_severity": "MAJOR",
            "low_severity": "NO_ALARM",
            "lolo_severity": "MINOR",
            "hysteresis": 0.5,
        },
    },
    "int": {
        "type": "int",
        "value": 3,
        "desc": "Number of shots",
        "autosave": False,
        "unit": "shots",
        "low": 0,
        "high": 100,
        "drive_low": 1,
        "drive_high": 50,
        "alarms": {
            "hihi": 40,
            "high": 30,
            "low": 2,
            "lolo": 1,
            "hihi_severity": "MAJOR",
            "high_severity": "MINOR",
            "low_severity": "MINOR",
            "lolo_severity": "MAJOR",
            "hysteresis": 1,
        },
    },
    "bool": {
        "type": "bool",
        "value": True,
        "desc": "Shutter",
        "autosave": True,
        "znam": "CLOSED",
        "onam": "OPEN",
        "alarm_on": "MAJOR",
    },
    "string": {"type": "string", "value": "idle", "desc": "Operator's note", "autosave": True},
    "enum": {
        "type": "enum",
        "value": "SAFE",
        "desc": "Mode of the machine",
        "autosave": True,
        "states": ["SAFE", "BEAM"],
        "state_severities": {"BEAM": "MINOR"},
    },
}


def text_of(data):
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def pv_of(body):
    return parse_manifest(with_pv(body)).inputs["A"]


# --- what is taken


def test_the_printed_config_of_the_origin_is_taken():
    """MyMonitor's config.yaml as the origin's document prints it, with `value: 0` for a bool."""
    manifest = parse_manifest(SEED_CONFIG)
    assert manifest.merged_parameters({}) == {"mode": "continuous", "interval": 1.0, "threshold": 75.0}
    assert manifest.inputs == {
        "SETPOINT": FloatPv(type="float", value=50.0, unit="%", prec=2, low=0, high=100),
    }
    assert manifest.outputs == {
        "READING": FloatPv(type="float", unit="arb", prec=3),
        "ALARM": BoolPv(type="bool", value=False, znam="OK", onam="ALARM"),
    }


@pytest.mark.parametrize("kind", MODELS)
def test_every_key_of_the_table_is_taken(kind):
    """Each key reaches the model with its value; the table in this test has every key that the model has."""
    body = FULL[kind]
    assert set(body) == set(MODELS[kind].model_fields)
    pv = pv_of(json.dumps(body))
    assert type(pv) is MODELS[kind]
    shown = pv.model_dump(mode="json")
    assert shown == body
    if "alarms" in body:
        assert set(body["alarms"]) == set(Alarms.model_fields)


@pytest.mark.parametrize(
    ("body", "key", "value"),
    [
        ("{type: float, value: 5}", "value", 5.0),
        ("{type: float, value: 1e-6}", "value", 1e-6),
        ("{type: float, low: 1E3}", "low", 1000.0),
        ("{type: bool, value: 1}", "value", True),
        ("{type: bool, value: 0}", "value", False),
        ("{type: bool, value: true}", "value", True),
        ("{type: bool, alarm_on: MINOR}", "alarm_on", "MINOR"),
        ("{type: enum, states: [A, B], value: 1}", "value", 1),
        ("{type: enum, states: [A, B], value: B}", "value", "B"),
        (f"{{type: float, desc: {'d' * 40}}}", "desc", "d" * 40),
        ("{type: float, unit: °C}", "unit", "°C"),
        (f"{{type: enum, states: [{'s' * 25}]}}", "states", ("s" * 25,)),
        (
            f"{{type: enum, states: [{', '.join(f'S{number}' for number in range(16))}]}}",
            "states",
            tuple(f"S{number}" for number in range(16)),
        ),
        (f"{{type: string, value: {'v' * 39}}}", "value", "v" * 39),
        ("{type: float, low: 1, high: 1}", "low", 1.0),
        ("{type: float, alarms: {low: 1, hihi: 1}}", "alarms", Alarms(low=1, hihi=1)),
        ("{type: float, alarms: }", "alarms", None),
    ],
)
def test_values_at_the_border_are_taken(body, key, value):
    """Whole numbers for floats, 1 and 0 for bools, names and numbers of states, and texts of the full length."""
    assert getattr(pv_of(body), key) == value


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "--- null\n", "{}\n"])
def test_an_empty_file_is_no_mistake(text):
    """Without anything in it there are no extra PVs and no parameters."""
    assert parse_manifest(text) == Manifest()


@pytest.mark.parametrize("text", ["parameters:\n", "pvs:\n", "arguments:\n", "pvs:\n  inputs:\n  outputs:\n"])
def test_an_empty_section_is_no_mistake(text):
    """A heading whose lines were all commented out."""
    manifest = parse_manifest(text)
    assert (manifest.inputs, manifest.outputs) == ({}, {})
    assert manifest.merged_parameters({}) == {"mode": "continuous", "interval": 1.0}


def test_type_class_and_prefix():
    """The optional keys at the top."""
    manifest = parse_manifest("type: job\nclass: MyMonitor\nprefix: MY_TASK-1\n")
    assert (manifest.type, manifest.class_name, manifest.prefix) == (Kind.JOB, "MyMonitor", "MY_TASK-1")
    assert parse_manifest("type: task\n").type is Kind.TASK
    nothing = parse_manifest("")
    assert (nothing.type, nothing.class_name, nothing.prefix) == (None, None, None)


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_config_json_is_read_too(indent):
    """JSON as any tool writes it, with tabs as well, means the same as YAML."""
    data = {
        "parameters": {"rate": 1e-06, "name": "a/b", "nested": {"list": [1, None, True]}},
        "pvs": {"inputs": {"A": FULL["float"]}, "outputs": {"B": FULL["bool"]}},
    }
    manifest = parse_manifest(json.dumps(data, indent=indent), "config.json")
    assert manifest == parse_manifest(text_of(data))
    assert manifest.parameters.model_dump()["rate"] == 1e-06


def test_keys_that_begin_with_x_are_left_alone():
    """Notes and YAML anchors may stand anywhere in the schema; in parameters they are the plugin's."""
    manifest = parse_manifest(
        "x-note: [anything, {at: all}]\n"
        "x-common: &common {type: float, unit: mm}\n"
        "parameters: {x-own: 1}\n"
        "pvs:\n"
        "  x-note: 1\n"
        "  inputs:\n"
        "    A: {<<: *common, x-note: 2, alarms: {x-why: heat, high: 3}}\n"
        "    x-ray: {type: bool}\n"
    )
    assert manifest.inputs["A"] == FloatPv(type="float", unit="mm", alarms=Alarms(high=3))
    assert manifest.inputs["x-ray"] == BoolPv(type="bool")
    assert manifest.merged_parameters({})["x-own"] == 1


def test_arguments_win_over_pvs_for_each_pv():
    """Both sections are read; a PV that stands in both is taken whole from `arguments`."""
    manifest = parse_manifest(
        "pvs:\n"
        "  inputs: {A: {type: float, unit: A}, B: {type: int}}\n"
        "  outputs: {R: {type: int}}\n"
        "arguments:\n"
        "  inputs: {A: {type: string}, C: {type: bool}}\n"
        "  outputs: {R: {type: float}}\n"
    )
    assert {name: pv.type for name, pv in manifest.inputs.items()} == {"A": "string", "B": "int", "C": "bool"}
    assert {name: pv.type for name, pv in manifest.outputs.items()} == {"R": "float"}


def test_declared_pvs_are_the_built_in_and_then_the_plugins_own():
    """Each with its direction; the built-in ones are marked."""
    declared = parse_manifest(SEED_CONFIG).declared_pvs(Kind.TASK, Mode.CONTINUOUS)
    own = [pv for pv in declared if not pv.built_in]
    assert [(pv.name, pv.direction) for pv in own] == [
        ("SETPOINT", Direction.INPUT),
        ("READING", Direction.OUTPUT),
        ("ALARM", Direction.OUTPUT),
    ]
    assert declared[-3:] == tuple(own)
    assert {pv.name for pv in declared if pv.built_in} == reserved_names(Kind.TASK) - {"RUN"}


# --- what is refused


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        # types
        ("{type: flot}", "pvs.inputs.A.type: unknown PV type 'flot'; did you mean 'float'?"),
        ("{type: Float}", "pvs.inputs.A.type: unknown PV type 'Float'; did you mean 'float'?"),
        ("{type: double}", "pvs.inputs.A.type: unknown PV type 'double' (types are float, int, bool, string, enum)"),
        ("{type: null}", "pvs.inputs.A.type: unknown PV type 'None'"),
        ("{type: [float]}", "pvs.inputs.A.type: unknown PV type"),
        ("{value: 1}", "pvs.inputs.A: `type` is missing (types are float, int, bool, string, enum)"),
        ("{}", "pvs.inputs.A: `type` is missing"),
        ("", "pvs.inputs.A: must hold a mapping (KEY: VALUE), not None"),
        ("float", "pvs.inputs.A: must hold a mapping (KEY: VALUE), not 'float'"),
        ("[float]", "pvs.inputs.A: must hold a mapping (KEY: VALUE), not ['float']"),
        # keys
        ("{type: float, vale: 1}", "pvs.inputs.A.vale: unknown key; did you mean 'value'?"),
        ("{type: float, drive_hi: 1}", "pvs.inputs.A.drive_hi: unknown key; did you mean 'drive_high'?"),
        ("{type: float, zzz: 1}", "pvs.inputs.A.zzz: unknown key"),
        ("{type: float, states: [A]}", "pvs.inputs.A.states: unknown key"),
        ("{type: float, alarms: {higi: 1}}", "pvs.inputs.A.alarms.higi: unknown key; did you mean 'hihi'?"),
        ("{type: bool, alarms: {}}", "pvs.inputs.A.alarms: unknown key; did you mean 'alarm_on'?"),
        ("{type: float, link: X:Y}", "pvs.inputs.A.link: links, rules and transforms are not part of this version"),
        # values
        ("{type: float, value: '1'}", "pvs.inputs.A.value: must be a valid number, not '1'"),
        ("{type: float, value: true}", "pvs.inputs.A.value: must be a valid number, not True"),
        ("{type: float, value: .nan}", "pvs.inputs.A.value: must be a finite number, not nan"),
        ("{type: float, low: -.inf}", "pvs.inputs.A.low: must be a finite number, not -inf"),
        ("{type: float, high: .inf}", "pvs.inputs.A.high: must be a finite number, not inf"),
        ("{type: float, value: 1e400}", "pvs.inputs.A.value: must be a finite number, not inf"),
        ("{type: float, drive_low: .nan, drive_high: 1}", "pvs.inputs.A.drive_low: must be a finite number, not nan"),
        ("{type: float, alarms: {hihi: .inf}}", "pvs.inputs.A.alarms.hihi: must be a finite number, not inf"),
        ("{type: float, prec: 1.5}", "pvs.inputs.A.prec: must be a valid integer, not 1.5"),
        ("{type: float, prec: two}", "pvs.inputs.A.prec: must be a valid integer, not 'two'"),
        ("{type: float, prec: -1}", "pvs.inputs.A.prec: must be greater than or equal to 0, not -1"),
        ("{type: float, prec: 16}", "pvs.inputs.A.prec: must be less than or equal to 15, not 16"),
        ("{type: int, value: 1.0}", "pvs.inputs.A.value: must be a valid integer, not 1.0"),
        ("{type: int, value: 2147483648}", "pvs.inputs.A.value: must be less than or equal to 2147483647"),
        ("{type: int, low: -2147483649}", "pvs.inputs.A.low: must be greater than or equal to -2147483648"),
        ("{type: int, alarms: {high: 1.5}}", "pvs.inputs.A.alarms.high: must be a valid integer, not 1.5"),
        ("{type: bool, value: 2}", "pvs.inputs.A: value must be true, false, 1 or 0, not 2"),
        ("{type: bool, value: 1.0}", "pvs.inputs.A: value must be true, false, 1 or 0, not 1.0"),
        ("{type: bool, value: 'on'}", "pvs.inputs.A: value must be true, false, 1 or 0, not 'on'"),
        ("{type: float, autosave: 1}", "pvs.inputs.A.autosave: must be a valid boolean, not 1"),
        # words that YAML takes for booleans
        ("{type: bool, znam: OFF}", "pvs.inputs.A.znam: YAML reads this word as false; write it in quotes"),
        ("{type: bool, onam: Yes}", "pvs.inputs.A.onam: YAML reads this word as true; write it in quotes"),
        ("{type: string, value: no}", "pvs.inputs.A.value: YAML reads this word as false; write it in quotes"),
        ("{type: enum, states: [AUTO, OFF]}", "pvs.inputs.A.states.1: YAML reads this word as false"),
        ("{type: enum, states: [A], value: true}", "pvs.inputs.A.value: give a state's name (in quotes) or its number"),
        # misspelt words
        ("{type: bool, alarm_on: MAJR}", "pvs.inputs.A.alarm_on: 'MAJR' is not one of MINOR, MAJOR; did you mean 'MAJ"),
        ("{type: bool, alarm_on: INVALID}", "pvs.inputs.A.alarm_on: 'INVALID' is not one of MINOR, MAJOR"),
        ("{type: bool, alarm_on: major}", "pvs.inputs.A.alarm_on: 'major' is not one of MINOR, MAJOR"),
        (
            "{type: float, alarms: {high_severity: MINR}}",
            "pvs.inputs.A.alarms.high_severity: 'MINR' is not one of NO_ALARM, MINOR, MAJOR, INVALID; did you mean 'MI",
        ),
        (
            "{type: enum, states: [A], state_severities: {A: MAJ}}",
            "pvs.inputs.A.state_severities.A: 'MAJ' is not one of NO_ALARM, MINOR, MAJOR, INVALID; did you mean 'MAJOR",
        ),
        # texts that do not fit the record
        (f"{{type: float, desc: {'d' * 41}}}", "pvs.inputs.A.desc: must have at most 40 characters"),
        (f"{{type: float, desc: {'é' * 21}}}", "pvs.inputs.A.desc: a text of more than 40 bytes"),
        (f"{{type: float, unit: {'u' * 16}}}", "pvs.inputs.A.unit: must have at most 15 characters"),
        (f"{{type: float, unit: {'é' * 8}}}", "pvs.inputs.A.unit: a text of more than 15 bytes"),
        (f"{{type: bool, znam: {'z' * 26}}}", "pvs.inputs.A.znam: must have at most 25 characters"),
        (f"{{type: bool, onam: {'é' * 13}}}", "pvs.inputs.A.onam: a text of more than 25 bytes"),
        (f"{{type: string, value: {'v' * 40}}}", "pvs.inputs.A: value has more than 39 bytes"),
        ('{type: string, value: "a\\0b"}', "pvs.inputs.A: value: a zero byte is not allowed"),
        ('{type: string, value: "\\ud800"}', "pvs.inputs.A: value: a character is no valid Unicode"),
        ('{type: float, desc: "a\\0b"}', "pvs.inputs.A.desc: a zero byte is not allowed"),
        ("{type: float, desc: $(HOME)}", "pvs.inputs.A.desc: '$(' and '${' are not allowed"),
        ("{type: bool, onam: '${X}'}", "pvs.inputs.A.onam: '$(' and '${' are not allowed"),
        # limits
        ("{type: float, low: 5, high: 1}", "pvs.inputs.A: low (5.0) must not be above high (1.0)"),
        ("{type: int, low: 5, high: 1}", "pvs.inputs.A: low (5) must not be above high (1)"),
        ("{type: float, drive_low: 5, drive_high: 1}", "pvs.inputs.A: drive_low (5.0) must not be above drive_high"),
        ("{type: float, drive_low: 5}", "pvs.inputs.A: drive_low and drive_high belong together: give both or neither"),
        ("{type: int, drive_high: 5}", "pvs.inputs.A: drive_low and drive_high belong together: give both or neither"),
        ("{type: float, alarms: {hihi: 1, high: 2}}", "pvs.inputs.A.alarms: alarm limits must rise: lolo <= low"),
        ("{type: float, alarms: {low: 1, lolo: 2}}", "pvs.inputs.A.alarms: alarm limits must rise"),
        ("{type: int, alarms: {hihi: 1, lolo: 2}}", "pvs.inputs.A.alarms: alarm limits must rise"),
        ("{type: float, alarms: {hysteresis: -1}}", "pvs.inputs.A.alarms.hysteresis: must be greater than or equal"),
        ("{type: float, alarms: 5}", "pvs.inputs.A.alarms: must hold a mapping (KEY: VALUE), not 5"),
        # states
        ("{type: enum}", "pvs.inputs.A.states is missing"),
        ("{type: enum, states: []}", "pvs.inputs.A.states: must have 1 entry at least"),
        ("{type: enum, states: AB}", "pvs.inputs.A.states: must be a list, not 'AB'"),
        ("{type: enum, states: {A: 0}}", "pvs.inputs.A.states: must be a list, not {'A': 0}"),
        ("{type: enum, states: [A, A]}", "pvs.inputs.A: states must differ from each other"),
        ("{type: enum, states: [A, 2]}", "pvs.inputs.A.states.1: must be text, not 2; write it in quotes"),
        ("{type: enum, states: ['']}", "pvs.inputs.A.states.0: must have at least 1 character"),
        (
            f"{{type: enum, states: [{', '.join(f'S{number}' for number in range(17))}]}}",
            "pvs.inputs.A.states: has 17 entries, 16 at most are possible",
        ),
        (
            f"{{type: enum, states: [A, {'s' * 26}]}}",
            "pvs.inputs.A.states.1: must have at most 25 characters",
        ),
        (f"{{type: enum, states: [{'é' * 13}]}}", "pvs.inputs.A.states.0: a text of more than 25 bytes"),
        ("{type: enum, states: [A, B], value: C}", "pvs.inputs.A: 'C' is not one of the states A, B"),
        ("{type: enum, states: [A, B], value: 2}", "pvs.inputs.A: 2 is not one of the states A, B"),
        ("{type: enum, states: [A, B], value: 1.0}", "pvs.inputs.A.value: give a state's name"),
        (
            "{type: enum, states: [A], state_severities: {B: MAJOR}}",
            "pvs.inputs.A: state_severities names states that do not exist: B",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_pv_gets_one_clear_sentence(body, sentence):
    """One entry, which begins with the place, names the line, and says what would be right."""
    failure = the_failure(with_pv(body))
    assert failure.message.startswith(sentence)
    assert failure.line == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("typ: task\n", "typ: unknown key; did you mean 'type'?"),
        ("class_name: A\n", "class_name: unknown key; did you mean 'class'?"),
        ("zzz: 1\n", "zzz: unknown key"),
        ("rules: []\n", "rules: links, rules and transforms are not part of this version"),
        ("type: taks\n", "type: 'taks' is not one of task, job; did you mean 'task'?"),
        ("type: Job\n", "type: 'Job' is not one of task, job; did you mean 'job'?"),
        ("class: 5\n", "class: must be text, not 5; write it in quotes"),
        ("prefix: A::B\n", "prefix: use letters, digits, '_' and '-', not 'A::B'"),
        ("prefix: a b\n", "prefix: use letters, digits, '_' and '-', not 'a b'"),
        ('prefix: "A\\n"\n', "prefix: use letters, digits, '_' and '-', not 'A\\n'"),
        ("prefix: ''\n", "prefix: use letters, digits, '_' and '-', not ''"),
        ("prefix: 12\n", "prefix: must be text, not 12; write it in quotes"),
        ("pvs: []\n", "pvs: must hold a mapping (KEY: VALUE), not []"),
        ("pvs: {input: {}}\n", "pvs.input: unknown key; did you mean 'inputs'?"),
        ("arguments: {output: {}}\n", "arguments.output: unknown key; did you mean 'outputs'?"),
        ("pvs: {inputs: [A]}\n", "pvs.inputs: must hold a mapping (KEY: VALUE), not ['A']"),
        ("pvs: {inputs: {A B: {type: bool}}}\n", "pvs.inputs.A B: use letters, digits, '_' and '-', not 'A B'"),
        ('pvs: {inputs: {"A\\n": {type: bool}}}\n', "pvs.inputs.A\\n: use letters, digits, '_' and '-'"),
        ("pvs: {inputs: {Ä: {type: bool}}}\n", "pvs.inputs.Ä: use letters, digits, '_' and '-'"),
        ("pvs: {inputs: {A.VAL: {type: bool}}}\n", "pvs.inputs.A.VAL: use letters, digits, '_' and '-'"),
        ("pvs: {inputs: {1: {type: bool}}}\n", "pvs.inputs.1: must be text, not 1; write it in quotes"),
        ("pvs: {inputs: {on: {type: bool}}}\n", "pvs.inputs.on: YAML reads this word as true; write it in quotes"),
        ("parameters: 5\n", "parameters: must hold a mapping (KEY: VALUE), not 5"),
        ("parameters: {mode: continous}\n", "parameters.mode: 'continous' is not one of continuous, triggered, rea"),
        ("parameters: {mode: Triggered}\n", "parameters.mode: 'Triggered' is not one of"),
        ("parameters: {interval: fast}\n", "parameters.interval: must be a valid number, not 'fast'"),
        ("parameters: {interval: '1'}\n", "parameters.interval: must be a valid number, not '1'"),
        ("parameters: {interval: true}\n", "parameters.interval: must be a valid number, not True"),
        ("parameters: {interval: 0}\n", "parameters.interval: must be greater than 0, not 0"),
        ("parameters: {interval: -1.5}\n", "parameters.interval: must be greater than 0, not -1.5"),
        ("parameters: {interval: 86401}\n", "parameters.interval: must be less than or equal to 86400"),
        ("parameters: {interval: .inf}\n", "parameters.interval is inf: JSON has no such number"),
        ("parameters: {triggered: 'yes'}\n", "parameters.triggered: must be true or false, not 'yes'"),
        ("parameters: {triggered: 1}\n", "parameters.triggered: must be true or false, not 1"),
        ("parameters: {version: true}\n", "parameters.version: must be text (in quotes) or a number, not True"),
        ("parameters: {version: [1]}\n", "parameters.version: must be text (in quotes) or a number, not [1]"),
        ("parameters: {gain: {x: [1, .nan]}}\n", "parameters.gain.x[1] is nan: JSON has no such number"),
        ("parameters: {day: 2026-01-31}\n", "parameters.day is a date, which is no JSON value; write it in quotes"),
        ("parameters: {1: a}\n", "parameters has the key 1, which is not text; write it in quotes"),
    ],
)  # fmt: skip
def test_a_mistake_beside_the_pvs_gets_one_clear_sentence(text, sentence):
    """The same for the top of the file, the sections, the names and the parameters."""
    failure = the_failure(text)
    assert failure.message.startswith(sentence)
    assert failure.line == 1


@pytest.mark.parametrize("kind", MODELS)
def test_every_key_refuses_the_wrong_type_and_names_itself(kind):
    """For each key that a model has, a list where a word belongs, or a word where a list or a mapping belongs."""
    for key in set(MODELS[kind].model_fields) - {"type"}:
        wrong = "word" if key in ("alarms", "states", "state_severities") else [[1]]
        body = {key: FULL[kind][key] for key in FULL[kind] if key in ("type", "states", "drive_low", "drive_high")}
        failures = failures_of(text_of({"pvs": {"inputs": {"A": {**body, key: wrong}}}}))
        places = [failure.message for failure in failures if failure.message.startswith("pvs.inputs.A")]
        assert len(places) == len(failures), failures
        assert any(key in message for message in places), (key, failures)


def pv_with(kind, key):
    return {"pvs": {"outputs": {"A": {"type": kind, **({"states": ["ON"]} if kind == "enum" else {}), key: 1}}}}


@pytest.mark.parametrize(
    ("model", "place", "file_with"),
    [
        (Manifest, "", lambda key: {key: 1}),
        (PvSections, "pvs.", lambda key: {"pvs": {key: 1}}),
        (PvSections, "arguments.", lambda key: {"arguments": {key: 1}}),
        *((model, "pvs.outputs.A.", partial(pv_with, kind)) for kind, model in MODELS.items()),
        (Alarms, "pvs.inputs.A.alarms.", lambda key: {"pvs": {"inputs": {"A": {"type": "int", "alarms": {key: 1}}}}}),
    ],
)
def test_every_misspelt_key_is_told_the_word_that_was_meant(model, place, file_with):
    """For each key of each part of the schema."""
    for name, field in model.model_fields.items():
        word = field.alias or name
        failure = the_failure(text_of(file_with(f"{word}_")))
        assert failure.message == f"{place}{word}_: unknown key; did you mean '{word}'?"


@pytest.mark.parametrize("section", ["pvs", "arguments"])
@pytest.mark.parametrize("keys", ["drive_low: 1, drive_high: 2", "drive_low: null, drive_high: null"])
def test_drive_limits_belong_to_inputs(section, keys):
    """Nobody writes an output, so a limit for writing it is a mistake, and the PV is named."""
    failure = the_failure(f"{section}:\n  outputs:\n    OK: {{type: int}}\n    A: {{type: float, {keys}}}\n")
    assert failure.message == f"{section}.outputs.A: drive_high, drive_low: for inputs only"
    assert failure.line == 4


@pytest.mark.parametrize(("inputs", "outputs"), [("pvs", "pvs"), ("pvs", "arguments"), ("arguments", "pvs")])
def test_a_pv_is_an_input_or_an_output(inputs, outputs):
    """The same name on both sides is a mistake, also across the two sections."""
    data = {inputs: {}, outputs: {}}
    data[inputs]["inputs"] = {"A": {"type": "int"}}
    data[outputs]["outputs"] = {"A": {"type": "int"}}
    assert the_failure(text_of(data)).message == f"{outputs}.outputs.A: declared as an input and as an output"


def test_all_mistakes_are_told_at_once():
    """A file with three mistakes gets three entries, each with its own line."""
    text = "typ: task\nparameters:\n  interval: 0\npvs:\n  inputs:\n    A: {type: flat}\n"
    assert {(failure.message.split(":")[0], failure.line) for failure in failures_of(text)} == {
        ("typ", 1),
        ("parameters.interval", 3),
        ("pvs.inputs.A.type", 6),
    }


def test_a_very_wrong_file_gets_a_list_that_can_be_read():
    """Beyond twenty mistakes the rest is counted."""
    failures = failures_of("pvs:\n  inputs:\n" + "".join(f"    A{number}: {{type: flat}}\n" for number in range(500)))
    assert len(failures) == 21
    assert failures[-1].message == "and 480 mistakes more"


def test_names_of_the_other_kind_are_free():
    """A job may have an ENABLE, a task a PROGRESS, and case matters."""
    for kind, other in ((Kind.TASK, Kind.JOB), (Kind.JOB, Kind.TASK)):
        for name in reserved_names(other) - reserved_names(kind) | {"Status"}:
            manifest = parse_manifest(f"pvs: {{inputs: {{{name}: {{type: int}}}}}}\n")
            assert name in {pv.name for pv in manifest.declared_pvs(kind, Mode.CONTINUOUS)}


@given(st.integers(1, 80), st.integers(1, 80))
def test_a_full_record_name_has_sixty_characters_at_most(prefix_length, name_length):
    """Exactly sixty are taken; sixty-one are refused with the name and what to do."""
    pv = DeclaredPv(name="P" * name_length, direction=Direction.INPUT, pv=FloatPv(type="float"))
    prefix = "X" * prefix_length
    if prefix_length + 1 + name_length <= 60:
        check_record_names(prefix, (pv,))
        return
    with pytest.raises(PluginRejected) as caught:
        check_record_names(prefix, (pv,))
    (failure,) = caught.value.failures
    assert failure.step == "config"
    assert f"{prefix}:{pv.name}"[:190] in failure.message
    assert f"has {prefix_length + 1 + name_length} characters" in failure.message


def test_built_in_pvs_count_too_and_each_long_name_is_named():
    """A prefix that leaves no room for CYCLE_COUNT is refused before anything starts."""
    declared = Manifest().declared_pvs(Kind.TASK, Mode.CONTINUOUS)
    check_record_names("X" * 48, declared)
    with pytest.raises(PluginRejected) as caught:
        check_record_names("X" * 51, declared)
    assert {failure.message.split("'")[1].rpartition(":")[2] for failure in caught.value.failures} == {
        "CYCLE_COUNT",
        "HEARTBEAT",
    }


# --- parameters


@pytest.mark.parametrize(
    ("config", "overrides", "merged"),
    [
        ({}, {}, {"mode": "continuous", "interval": 1.0}),
        ({"interval": 2}, {}, {"mode": "continuous", "interval": 2.0}),
        ({"interval": 2}, {"interval": 0.5}, {"mode": "continuous", "interval": 0.5}),
        ({"mode": "triggered"}, {}, {"mode": "triggered", "interval": 1.0}),
        ({"mode": "triggered"}, {"mode": "reactive"}, {"mode": "reactive", "interval": 1.0}),
        ({"triggered": True}, {}, {"mode": "triggered", "interval": 1.0, "triggered": True}),
        ({"triggered": False}, {}, {"mode": "continuous", "interval": 1.0, "triggered": False}),
        ({"triggered": True}, {"mode": "continuous"}, {"mode": "continuous", "interval": 1.0, "triggered": True}),
        ({"mode": "continuous"}, {"triggered": True}, {"mode": "triggered", "interval": 1.0, "triggered": True}),
        ({"triggered": True}, {"triggered": False}, {"mode": "continuous", "interval": 1.0, "triggered": False}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"mode": "continuous", "interval": 1.0, "a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"mode": "continuous", "interval": 1.0, "a": [3]}),
        ({"a": 1}, {"a": None}, {"mode": "continuous", "interval": 1.0, "a": None}),
        ({}, {"b": "new"}, {"mode": "continuous", "interval": 1.0, "b": "new"}),
        ({"version": 1.5}, {}, {"mode": "continuous", "interval": 1.0, "version": 1.5}),
        ({"copy": 1, "json": 2}, {}, {"mode": "continuous", "interval": 1.0, "copy": 1, "json": 2}),
    ],
)
def test_parameters_of_the_add_are_laid_over_those_of_the_file(config, overrides, merged):
    """Deeply, `mode` and `interval` included; `triggered: true` is the old spelling of a mode on either side."""
    manifest = parse_manifest(text_of({"parameters": config}))
    assert manifest.merged_parameters(overrides) == merged
    assert manifest.merged_parameters({}) == parse_manifest(text_of({"parameters": config})).merged_parameters({})


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"interval": "fast"}, "parameters.interval: must be a valid number, not 'fast'"),
        ({"interval": 0}, "parameters.interval: must be greater than 0, not 0"),
        ({"interval": -1}, "parameters.interval: must be greater than 0, not -1"),
        ({"interval": None}, "parameters.interval: must be a valid number, not None"),
        ({"interval": True}, "parameters.interval: must be a valid number, not True"),
        ({"interval": {"s": 1}}, "parameters.interval: must be a valid number, not {'s': 1}"),
        ({"interval": 1e9}, "parameters.interval: must be less than or equal to 86400"),
        ({"mode": "continous"}, "parameters.mode: must be 'continuous', 'triggered' or 'reactive', not 'continous'"),
        ({"mode": None}, "parameters.mode: must be 'continuous', 'triggered' or 'reactive', not None"),
        ({"mode": 1}, "parameters.mode: must be 'continuous', 'triggered' or 'reactive', not 1"),
        ({"triggered": "yes"}, "parameters.triggered: must be true or false, not 'yes'"),
        ({"version": [1]}, "parameters.version: must be text (in quotes) or a number, not [1]"),
        ({"a": float("nan")}, "parameters.a is nan: JSON has no such number"),
        ({"a": {"b": object()}}, "parameters.a.b is a object, which is no JSON value"),
    ],
)
def test_parameters_of_the_add_that_do_not_fit_are_a_rejected_config(overrides, sentence):
    """PluginRejected for the step config, with a sentence for the parameter."""
    with pytest.raises(PluginRejected) as caught:
        parse_manifest(SEED_CONFIG).merged_parameters(overrides)
    (failure,) = caught.value.failures
    assert failure.step == "config"
    assert failure.message.startswith(sentence)


# --- the published schema


@pytest.mark.parametrize("kind", MODELS)
def test_the_published_schema_takes_what_the_models_take(kind):
    """Every key of the table, notes included."""
    SCHEMA.validate({"pvs": {"inputs": {"A": {**FULL[kind], "x-note": 1}}}, "x-note": 1})
    SCHEMA.validate(yaml.safe_load(SEED_CONFIG))
    SCHEMA.validate({"type": "task", "class": "A", "prefix": "A", "parameters": {"own": [1]}, "arguments": {}})


@pytest.mark.parametrize(
    "data",
    [
        {"typ": "task"},
        {"type": "taks"},
        {"prefix": "a b"},
        {"parameters": {"mode": "continous"}},
        {"parameters": {"interval": 0}},
        {"pvs": {"input": {}}},
        {"pvs": {"inputs": {"A": {"type": "flot"}}}},
        {"pvs": {"inputs": {"A": {"type": "float", "vale": 1}}}},
        {"pvs": {"inputs": {"A": {"type": "float", "prec": 99}}}},
        {"pvs": {"inputs": {"A": {"type": "float", "desc": "d" * 41}}}},
        {"pvs": {"inputs": {"A": {"type": "bool", "alarm_on": "MAJR"}}}},
        {"pvs": {"inputs": {"A": {"type": "enum", "states": ["S"] * 17}}}},
        {"pvs": {"inputs": {"A": {"type": "float", "alarms": {"high_severity": "MINR"}}}}},
    ],
)
def test_the_published_schema_refuses_what_the_models_refuse(data):
    """An editor that knows the schema shows these mistakes before anything is added."""
    assert not SCHEMA.is_valid(data)
    failures_of(text_of(data))


def test_the_published_schema_describes_every_key():
    """Each key of config.yaml has its explanation in the schema."""
    definitions = {"Manifest": json_schema(), **json_schema()["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        for key, entry in definition.get("properties", {}).items()
        if "description" not in entry and key != "type"
    ]
    assert silent == []


# --- whatever is right is taken


@st.composite
def bodies(draw):
    """Return the body of a PV that is right, as config.yaml would have it."""
    kind = draw(st.sampled_from(sorted(MODELS)))
    body = {"type": kind}
    optional = {"desc": st.text("abc é", max_size=20), "autosave": st.booleans()}
    if kind in ("float", "int"):
        number = st.integers(-100, 100) if kind == "int" else st.floats(-1e6, 1e6) | st.integers(-9, 9)
        limits = sorted(draw(st.lists(number, min_size=6, max_size=6)))
        body |= {"value": draw(number), "low": limits[0], "high": limits[5]}
        body |= {"drive_low": limits[1], "drive_high": limits[4]} if draw(st.booleans()) else {}
        body["alarms"] = dict(zip(("lolo", "low", "high", "hihi"), limits, strict=False))
        optional["unit"] = st.text("mA", max_size=15)
    elif kind == "bool":
        body["value"] = draw(st.sampled_from([True, False, 0, 1]))
        optional |= {"znam": st.text("ab", max_size=25), "alarm_on": st.sampled_from(["MINOR", "MAJOR"])}
    elif kind == "string":
        body["value"] = draw(st.text("abc \n'\"#:", max_size=39))
    else:
        body["states"] = draw(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=16, unique=True))
        body["value"] = draw(st.sampled_from([*body["states"], *range(len(body["states"]))]))
        optional["state_severities"] = st.dictionaries(st.sampled_from(body["states"]), st.sampled_from(list(Severity)))
    for key in draw(st.sets(st.sampled_from(sorted(optional)))):
        value = draw(optional[key])
        body[key] = {state: word.value for state, word in value.items()} if key == "state_severities" else value
    return body


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_-]{0,5}", fullmatch=True), bodies(), max_size=4))
def test_what_is_right_is_taken_as_it_is(table):
    """Any right PV, written as YAML or as JSON, comes back with the values that were written."""
    data = {"pvs": {"inputs": table}}
    manifest = parse_manifest(text_of(data))
    assert manifest == parse_manifest(json.dumps(data))
    SCHEMA.validate(data)
    for name, body in table.items():
        shown = json.loads(manifest.inputs[name].model_dump_json(exclude_unset=True))
        assert shown == body
