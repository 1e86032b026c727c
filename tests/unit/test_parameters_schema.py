"""`parameters_schema` of config.yaml: what may be declared, what is checked, what the JSON Schema says."""

import json

import pytest
from jsonschema import Draft202012Validator
from manifest_support import failures_of, the_failure
from properties import given, st
from pydantic import ValidationError

from iocmng.core.manifest import Parameters, json_schema
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.parameters import MAX_FAILURES, OWN_PARAMETERS, ParametersSchema, run_refused
from iocmng.errors import InvalidRequest, PluginRejected

CAMERA = """\
parameters_schema:
  exposure: {type: float, unit: s, min: 0.001, max: 60, default: 0.1, description: Time of one frame}
  mode_name: {type: string, choices: [fast, slow], default: fast}
  frames: {type: int, min: 1, required: true}
  corners: {type: list, element: float, unit: mm, min: -10, max: 10, min_length: 2, max_length: 4}
  labels: {type: array, element: string, choices: [dark, light], default: [dark]}
  options: {type: object, default: {gain: 1, dead: {rows: 0}}}
  verbose: {type: bool, default: false}
"""


def schema_of(text=CAMERA):
    return parse_manifest(text).parameters_schema


def declared(**parameters):
    return ParametersSchema.model_validate(parameters)


def problems(values, schema=None, **options):
    """Return the sentences with which values are refused."""
    with pytest.raises(PluginRejected) as caught:
        (schema or schema_of()).check(values, **options)
    assert {failure.step for failure in caught.value.failures} == {"config"}
    return [failure.message for failure in caught.value.failures]


def test_defaults_are_filled_in_and_numbers_converted():
    """What is not given has its default; a whole number given for a float is one from then on."""
    checked = schema_of().check({"frames": 2, "exposure": 1})
    assert checked == {
        "exposure": 1.0,
        "mode_name": "fast",
        "frames": 2,
        "labels": ["dark"],
        "options": {"gain": 1, "dead": {"rows": 0}},
        "verbose": False,
    }
    assert isinstance(checked["exposure"], float)


def test_what_is_optional_and_not_given_is_not_there():
    """A parameter without default and not required is absent, so that `.get()` tells."""
    assert "corners" not in schema_of().check({"frames": 1})


def test_a_default_object_is_laid_under_what_is_given():
    """What is given of an object replaces that much of its default, deeply."""
    checked = schema_of().check({"frames": 1, "options": {"dead": {"columns": 2}}})
    assert checked["options"] == {"gain": 1, "dead": {"rows": 0, "columns": 2}}


def test_a_plugin_cannot_change_the_defaults():
    """Lists and objects are copies: what one run does to them, the next does not see."""
    schema = schema_of()
    for _ in range(2):
        checked = schema.check({"frames": 1})
        assert (checked["labels"], checked["options"]["dead"]) == (["dark"], {"rows": 0})
        checked["labels"].append("mine")
        checked["options"]["dead"]["rows"] = 7


REFUSED = [
    ({"exposure": 100}, "parameters.exposure: must be from 0.001 to 60 s, not 100"),
    ({"exposure": "0.1"}, "parameters.exposure: must be a number, not '0.1'"),
    ({"exposure": True}, "parameters.exposure: must be a number, not true"),
    ({"exposure": None}, "parameters.exposure: must be a number, not null"),
    ({"exposure": float("nan")}, "parameters.exposure: must be a number that a float can hold, not nan"),
    ({"exposure": 10**400}, "parameters.exposure: must be a number"),
    ({"mode_name": "fsat"}, "parameters.mode_name: 'fsat' is not one of fast, slow; did you mean 'fast'?"),
    ({"mode_name": 1}, "parameters.mode_name: must be text, not 1"),
    ({"frames": 0}, "parameters.frames: must be at least 1, not 0"),
    ({"frames": 1.0}, "parameters.frames: must be a whole number, not 1.0"),
    ({"frames": True}, "parameters.frames: must be a whole number, not true"),
    ({"verbose": "yes"}, "parameters.verbose: must be true or false, not 'yes'"),
    ({"corners": [1, 20]}, "parameters.corners: element 1: must be from -10 to 10 mm, not 20"),
    ({"corners": [1]}, "parameters.corners: must have 2 elements at least and 4 at most, not 1"),
    ({"corners": 1}, "parameters.corners: must be a list, not 1"),
    ({"labels": ["drak"]}, "parameters.labels: element 0: 'drak' is not one of dark, light; did you mean 'dark'?"),
    ({"options": [1]}, "parameters.options: must be a mapping (KEY: VALUE), not [1]"),
    ({"exposur": 1}, "parameters.exposur: unknown parameter; did you mean 'exposure'?"),
    ({"zzz": 1}, "parameters.zzz: unknown parameter (parameters are exposure, mode_name, frames, "),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_what_does_not_fit_is_named_with_what_would(values, sentence):
    """The parameter, the value, and the bounds, choices or nearest name."""
    (found,) = problems({"frames": 1} | values)
    assert found.startswith(sentence)


def test_all_wrong_parameters_are_told_at_once():
    """One entry for each wrong parameter; of very many, the first."""
    assert [sentence.split(":")[0] for sentence in problems({"exposure": 0, "mode_name": 1, "zzz": 2})] == [
        "parameters.exposure",
        "parameters.mode_name",
        "parameters.zzz",
        "parameters.frames is missing; it must be given",
    ]
    many = problems({f"p{number}": 1 for number in range(100)})
    assert (len(many), many[-1]) == (MAX_FAILURES + 1, f"and {101 - MAX_FAILURES} mistakes more")


def test_a_required_one_may_come_later():
    """A check that is not complete takes a job that gets its required parameter with the run."""
    assert problems({}) == ["parameters.frames is missing; it must be given"]
    assert schema_of().check({}, complete=False)["mode_name"] == "fast"
    assert problems({"frames": 0}, complete=False) == ["parameters.frames: must be at least 1, not 0"]


def test_parameters_of_iocmng_stand_beside_the_declared():
    """mode, interval, version and triggered are passed on; they are all that iocmng itself reads."""
    own = {"mode": "triggered", "interval": 2, "version": 3, "triggered": True}
    assert schema_of().check({"frames": 1} | own).items() >= own.items()
    assert set(OWN_PARAMETERS) == {*Parameters.model_fields, "triggered"}


def test_an_empty_schema_takes_nothing():
    """A plugin can say that it has no parameters; one that leaves the section empty says nothing."""
    assert problems({"a": 1}, schema_of("parameters_schema: {}\n")) == [
        "parameters.a: unknown parameter; the plugin has no parameters"
    ]
    assert schema_of("parameters_schema:\n") is None
    assert schema_of("parameters: {a: 1}\n") is None


def test_the_same_mistakes_as_those_of_a_call():
    """A run is refused with an error for the caller, one entry for each mistake."""
    with pytest.raises(PluginRejected) as caught:
        schema_of().check({"exposure": 0, "frames": 0})
    error = run_refused(caught.value)
    assert isinstance(error, InvalidRequest)
    assert [failure.step for failure in error.failures] == ["request", "request"]
    assert error.message.startswith("parameters.exposure: must be from 0.001 to 60 s, not 0; parameters.frames: ")


# The declaration itself

MISTAKES = [
    ("{type: flaot}", "a.type: unknown parameter type 'flaot'; did you mean 'float'? (types are float, int, "),
    ("{typ: float}", "a: `type` is missing (types are float, int, bool, string, list, array, object, mapping)"),
    ("{type: float, mni: 3}", "a.mni: unknown key; did you mean 'min'?"),
    ("{type: bool, min: 1}", "a.min: unknown key"),
    ("{type: float, min: 3, max: 1}", "a.min: min (3) must not be above max (1)"),
    ("{type: float, min: 3, default: 1}", "a.default: must be at least 3, not 1"),
    ("{type: float, max: 3, default: 4.5}", "a.default: must be at most 3, not 4.5"),
    ("{type: int, default: 1.5}", "a.default: must be a valid integer, not 1.5"),
    ("{type: float, default: .nan}", "a.default is nan: JSON has no such number"),
    ("{type: int, required: true, default: 1}", "a.required: a required parameter has no default"),
    ("{type: int, required: 1}", "a.required: must be a valid boolean"),
    ("{type: string, choices: [a, on]}", "a.choices.1: YAML reads this word as true"),
    ("{type: string, choices: [a, 3]}", "a.choices.1: must be text, not 3"),
    ("{type: string, choices: [a, a]}", "a.choices.1: 'a' stands twice"),
    ("{type: string, choices: [a], default: b}", "a.default: 'b' is not one of a"),
    ("{type: string, choices: []}", "a.choices: must have 1 entry at least"),
    ("{type: int, choices: [1, 2, 1]}", "a.choices.2: 1 stands twice"),
    ("{type: int, choices: [1, 2.5]}", "a.choices.1: must be a valid integer, not 2.5"),
    ("{type: int, min: 2, choices: [1]}", "a.choices.0: must be at least 2, not 1"),
    ("{type: list}", "a.element is missing"),
    (
        "{type: list, element: flaot}",
        "a.element: 'flaot' is not one of float, int, bool, string; did you mean 'float'?",
    ),
    ("{type: list, element: string, min: 3}", "a.min: not for a list of string"),
    ("{type: list, element: bool, choices: [true]}", "a.choices: not for a list of bool"),
    ("{type: list, element: int, min: 1.5}", "a.min: must be a valid integer"),
    ("{type: list, element: int, min: 2, max: 1}", "a.min: min (2) must not be above max (1)"),
    ("{type: list, element: int, choices: [1, 1]}", "a.choices.1: 1 stands twice"),
    ("{type: list, element: int, default: [1, x]}", "a.default: element 1: must be a whole number, not 'x'"),
    ("{type: list, element: int, min_length: 3, max_length: 2}", "a.min_length: min_length (3) must not be above"),
    ("{type: list, element: int, min_length: -1}", "a.min_length: must be greater than or equal to 0"),
    ("{type: object, default: [1]}", "a.default: must hold a mapping"),
    ("3", "a: must hold a mapping (KEY: VALUE), not 3"),
]


@pytest.mark.parametrize(("body", "sentence"), MISTAKES)
def test_a_mistake_in_the_declaration_is_named_with_its_place(body, sentence):
    """Whatever cannot be meant so is refused, with key, line and the nearest valid word."""
    failure = the_failure(f"prefix: A\nparameters_schema:\n  a: {body}\n")
    assert failure.message.startswith(f"parameters_schema.{sentence}")
    assert failure.line == 3


def test_a_mistake_on_a_line_of_its_own_has_that_line():
    """The line is that of the key at fault, also for what JSON cannot hold."""
    text = "parameters_schema:\n  a:\n    type: float\n    min: 3\n    default: {}\n"
    assert [the_failure(text.format(value)).line for value in ("1", ".inf")] == [5, 5]
    assert the_failure("parameters_schema:\n  a:\n    type: float\n    mni: 3\n").line == 4


@pytest.mark.parametrize("name", OWN_PARAMETERS)
def test_what_iocmng_reads_cannot_be_declared(name):
    """The four names are taken, and the message lists them."""
    failure = the_failure(f"parameters_schema:\n  {name}: {{type: int}}\n")
    assert failure.message.startswith(f"parameters_schema.{name}: iocmng itself reads this parameter; choose another")


@pytest.mark.parametrize("name", ["a b", "a.b", "ä", '""', "a" * 129])
def test_a_name_is_a_word(name):
    """Letters, digits, '_' and '-', so that a message names it without doubt."""
    assert failures_of(f"parameters_schema:\n  {name}: {{type: int}}\n")


def test_notes_in_a_declaration_are_left_alone():
    """A note of the author's own may stand in a declaration."""
    assert schema_of("parameters_schema: {a: {type: int, x-widget: slider}}\n").check({"a": 1}) == {"a": 1}


def test_parameters_of_the_same_file_are_checked_with_their_lines():
    """What config.yaml gives must fit what it declares; what is required may still come with the add."""
    text = f"{CAMERA}parameters:\n  interval: 2\n  exposure: 0\n  expo: 1\n"
    found = [(failure.message.split(";")[0], failure.line) for failure in failures_of(text)]
    assert found == [
        ("parameters.exposure: must be from 0.001 to 60 s, not 0", 11),
        ("parameters.expo: unknown parameter", 12),
    ]
    assert parse_manifest(f"{CAMERA}parameters: {{exposure: 2}}\n").parameters_schema is not None


# JSON Schema


def test_json_schema_of_the_parameters():
    """Types, bounds, choices, defaults and descriptions as JSON Schema has them; units as x-unit."""
    schema = schema_of().to_json_schema()
    assert schema["properties"]["exposure"] == {
        "type": "number",
        "minimum": 0.001,
        "maximum": 60.0,
        "x-unit": "s",
        "default": 0.1,
        "description": "Time of one frame",
    }
    assert schema["properties"]["mode_name"] == {"type": "string", "enum": ["fast", "slow"], "default": "fast"}
    assert schema["properties"]["corners"]["items"] == {
        "type": "number",
        "minimum": -10.0,
        "maximum": 10.0,
        "x-unit": "mm",
    }
    assert schema["required"] == ["frames"]
    Draft202012Validator.check_schema(schema)
    json.dumps(schema, allow_nan=False)


def test_the_published_schema_knows_the_section():
    """An editor that has config.yaml's JSON Schema completes the types and refuses what the check refuses."""
    editor = Draft202012Validator(json_schema())
    assert not list(editor.iter_errors({"parameters_schema": {"a": {"type": "int", "min": 1}}}))
    assert list(editor.iter_errors({"parameters_schema": {"a": {"type": "int", "mni": 1}}}))
    assert list(editor.iter_errors({"parameters_schema": {"a": {"type": "flaot"}}}))


NUMBERS = st.integers(-5, 5) | st.sampled_from([-2.5, 0.5, 1.5])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from(["a", "b", "1", ""]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below, max_size=2),
    max_leaves=5,
)


def optional(**keys):
    return st.fixed_dictionaries({}, optional=keys)


SMALL = st.integers(-5, 5)
DECLARATIONS = st.one_of(
    optional(min=SMALL, max=SMALL, default=NUMBERS, required=st.booleans()).map(lambda keys: {"type": "float", **keys}),
    optional(min=SMALL, max=SMALL, default=SMALL, required=st.booleans()).map(lambda keys: {"type": "int", **keys}),
    optional(choices=st.lists(NUMBERS, min_size=1, max_size=3)).map(lambda keys: {"type": "float", **keys}),
    optional(default=st.booleans()).map(lambda keys: {"type": "bool", **keys}),
    optional(choices=st.lists(st.sampled_from("ab"), min_size=1, max_size=2)).map(
        lambda keys: {"type": "string", **keys}
    ),
    optional(min=SMALL, max_length=st.integers(0, 3), min_length=st.integers(0, 2)).map(
        lambda keys: {"type": "list", "element": "int", **keys}
    ),
    optional(default=st.dictionaries(st.sampled_from("ab"), ANYTHING, max_size=2)).map(
        lambda keys: {"type": "object", **keys}
    ),
)


@given(st.dictionaries(st.sampled_from("pqr"), DECLARATIONS, max_size=3), st.data())
def test_the_check_and_the_json_schema_say_the_same(declarations, data):
    """Whatever is declared and given: both take it or both refuse it, and what the check returns fits, too."""
    try:
        schema = declared(**declarations)
    except ValidationError:
        return
    values = data.draw(st.dictionaries(st.sampled_from(["p", "q", "r", "interval", "x"]), ANYTHING, max_size=4))
    judge = Draft202012Validator(schema.to_json_schema())
    try:
        checked = schema.check(values)
    except PluginRejected:
        assert not judge.is_valid(values)
    else:
        assert judge.is_valid(values)
        assert judge.is_valid(checked)
        assert schema.check(checked) == checked


@given(st.dictionaries(st.sampled_from("pq"), ANYTHING, max_size=2))
def test_anything_at_all_is_taken_or_refused(declarations):
    """No declaration, however strange, makes an error that is not meant for its author."""
    try:
        parse_manifest(json.dumps({"parameters_schema": declarations}))
    except PluginRejected as error:
        assert all(failure.message.startswith("parameters_schema") for failure in error.failures)  # noqa: PT017
