"""The text of config.yaml: exact lines, no surprises of YAML, and nothing that it could do to the server."""

import json
import string
import time

import pytest
import yaml
from manifest_support import SEED_CONFIG, failures_of, the_failure, with_pv
from properties import given, st

from iocmng.core.manifest import Manifest
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import PluginRejected

# --- lines

LONG = """\
# a comment            1
parameters:
  mode: continous
  interval: 1.0
  nested:
    list: [1, 2]
    bad: 2026-01-31

pvs:
  inputs:
    GOOD: {type: float}
    A:
      type: float
      prec: 2
      alarms:
        high: 1
        high_severity: MAJR
    B:
      value: 1
    C:
      type: bol
    D:
      type: enum
      states:
        - ONE
        - TWO
        - ON
  outputs:
    E:
      type: string
      unti: A
extra: 1
"""


def line_of(text, word):
    return next(number for number, line in enumerate(text.splitlines(), 1) if word in line)


def test_every_mistake_has_its_exact_line():
    """Blocks, comments, empty lines and lists are counted right, wherever the mistake is."""
    lines = {failure.message.split(":")[0]: failure.line for failure in failures_of(LONG)}
    assert lines == {
        "parameters.nested.bad is a date, which is no JSON value; write it in quotes to make it text": 7,
        "pvs.inputs.A.alarms.high_severity": 17,
        "pvs.inputs.B": 18,
        "pvs.inputs.C.type": 20,
        "pvs.inputs.D.states.2": 27,
        "pvs.outputs.E.unti": 31,
        "extra": 32,
    }


def test_carriage_returns_do_not_shift_the_lines():
    """A file from Windows has the same lines."""
    assert [failure.line for failure in failures_of(LONG.replace("\n", "\r\n"))] == [
        failure.line for failure in failures_of(LONG)
    ]


def test_a_byte_order_mark_does_no_harm():
    """Some editors write one."""
    assert parse_manifest("\ufeff" + SEED_CONFIG) == parse_manifest(SEED_CONFIG)


def test_the_line_of_a_merged_key_is_where_it_is_written():
    """A mistake that comes in through `<<` is found in the mapping that holds it; an own key in its own line."""
    text = (
        "x-common: &common\n"
        "  type: float\n"
        "  prec: two\n"
        "  low: 0\n"
        "pvs:\n"
        "  inputs:\n"
        "    A:\n"
        "      <<: *common\n"
        "      low: zero\n"
    )
    assert {failure.message.split(":")[0]: failure.line for failure in failures_of(text)} == {
        "pvs.inputs.A.prec": 3,
        "pvs.inputs.A.low": 9,
    }


@pytest.mark.parametrize("name", ["float", "int", "enum", "inputs", "alarms", "pvs", "parameters", "str", "0", "1"])
def test_a_pv_may_be_called_like_a_word_of_the_schema(name):
    """Place, line and suggestion are right all the same."""
    failure = the_failure(
        f"pvs:\n  inputs:\n    GOOD: {{type: int}}\n    '{name}':\n      type: float\n      unti: A\n"
    )
    assert (failure.message, failure.line) == (f"pvs.inputs.{name}.unti: unknown key; did you mean 'unit'?", 6)


@given(st.integers(0, 30), st.integers(0, 10))
def test_lines_are_exact_whatever_stands_before(comments, others):
    """The line of the mistake moves with the file."""
    text = "# note\n" * comments + "pvs:\n  inputs:\n" + "".join(f"    P{n}: {{type: int}}\n" for n in range(others))
    assert the_failure(f"{text}    A: {{type: flot}}\n").line == comments + others + 3


def test_the_file_is_named_as_it_is_called():
    """config.yml and config.json are named by their own names."""
    assert failures_of("typ: task", "config.json")[0].file == "config.json"
    with pytest.raises(PluginRejected, match=r"config: typ: unknown key; .* \(config\.yml, line 1\)"):
        parse_manifest("typ: task", "config.yml")


# --- YAML itself


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("- a\n- b\n", "the file must hold a mapping, not a list", 1),
        ("just words\n", "the file must hold a mapping, not a str", 1),
        ("5\n", "the file must hold a mapping, not a int", 1),
        ("a: 1\nb: 'unfinished\n", "no valid YAML", 3),
        ("a: 1\n b: 2\n", "no valid YAML", 2),
        ("pvs:\n  inputs: [\n", "no valid YAML", 3),
        ("pvs:\n\tinputs: {}\n", "no valid YAML: found character '\\t' that cannot start any token", 2),
        ("a: 1\n---\nb: 2\n", "no valid YAML: but found another document", 2),
        ("a: *nowhere\n", "no valid YAML: found undefined alias 'nowhere'", 1),
        ("a: 1\n? [b]\n: 2\n", "no valid YAML: found unhashable key", 2),
        ("a: 1\nb: \x07\n", "no valid YAML: the character #x0007 is not allowed", 2),
        ("a: \x00", "no valid YAML: the character #x0000 is not allowed", 1),
        ("a: 1\nb: \ud800\n", "no valid YAML: the character #xd800 is not allowed", 2),
        ("parameters:\n  day: 2026-02-31\n", "no valid YAML: '2026-02-31' cannot be read", 2),
        ("a: 1\nb: !!int x\n", "no valid YAML: 'x' cannot be read", 2),
        ("a: !!float ''\n", "no valid YAML: '' cannot be read", 1),
        ("a: !!bool x\n", "no valid YAML: 'x' cannot be read", 1),
        ("a: !!timestamp x\n", "no valid YAML: 'x' cannot be read", 1),
        ("a: !!map x\n", "no valid YAML: expected a mapping node", 1),
        ("parameters: {a: 0x" + "f" * 5000 + "}\n", "no valid YAML: the number is too large", 1),
        ("parameters: {a: " + "9" * 5000 + "}\n", "no valid YAML: the number is too large", 1),
        ("%YAML 3.0\n---\na: 1\n", "no valid YAML: found incompatible YAML document", 1),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_broken_yaml_is_refused_with_its_line(text, message, line):
    """What the parser stumbles over is told like any other mistake."""
    failure = the_failure(text)
    assert failure.message.startswith(message)
    assert failure.line == line
    assert len(failure.message) < 400


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("type: task\ntype: job\n", "type", 2),
        ("pvs:\n  inputs:\n    A: {type: int}\n    B: {type: int}\n    A: {type: float}\n", "A", 5),
        ("pvs: {}\nparameters: {}\npvs: {}\n", "pvs", 3),
        ("parameters:\n  a:\n    b: 1\n    'b': 2\n", "b", 4),
        ("x-note:\n  a: 1\n  a: 2\n", "a", 3),
        ('{\n"type": "task",\n"type": "job"\n}\n', "type", 3),
    ],
)
def test_a_key_that_stands_twice_is_an_error(text, key, line):
    """YAML would silently take the last one."""
    failure = the_failure(text)
    assert failure.message == f"no valid YAML: the key '{key}' stands twice"
    assert failure.line == line


@pytest.mark.parametrize(
    "text",
    [
        # a mapping that merges and overrides, and is then used again, merged or whole
        "x-a: {<<: &a {<<: {gain: 1, v: 1}, v: 2}}\nparameters: *a\n",
        "x-a: &a {gain: 1, v: 1}\nx-b: &b {<<: *a, v: 2}\nparameters: {<<: *b}\n",
        "x-a: &a {gain: 1}\nx-b: &b {v: 2}\nparameters: {<<: [*a, *b]}\n",
        "x-a: &a {gain: 1}\nx-b: &b {v: 2}\nparameters:\n  <<: *a\n  <<: *b\n",
    ],
)
def test_merging_is_no_duplicate(text):
    """A key that `<<` brings in may be overridden, and anchors may be used as often as needed."""
    merged = parse_manifest(text).merged_parameters({})
    assert (merged["gain"], merged["v"]) == (1, 2)


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object:os.system {}",
        "!!python/object/apply:os.system ['touch /tmp/owned']",
        "!!python/object/new:subprocess.Popen [[ls]]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1, 2]",
        "!!python/none ''",
        "!<tag:yaml.org,2002:python/object/apply:os.system> ['x']",
        "!custom x",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
    ],
)
@pytest.mark.parametrize(
    "place", ["x-note: {}\n", "parameters: {{a: {}}}\n", "{}: 1\n", "pvs: {{inputs: {{A: {}}}}}\n"]
)
def test_tags_are_refused_everywhere(value, place):
    """Nothing is constructed but plain data, not even below a key that is left alone."""
    failure = the_failure(place.format(value))
    assert failure.message.startswith("no valid YAML")
    assert failure.line == 1


def test_numbers_are_read_as_in_json():
    """1e-6 is a number in JSON and in YAML 1.2; it must not silently become a text."""
    values = parse_manifest(
        "parameters: {a: 1e-6, b: -2E3, c: 1.5e+3, d: .5e1, e: '1e3', f: 1e, g: e3}"
    ).merged_parameters({})
    assert {key: values[key] for key in "abcdefg"} == {
        "a": 1e-6, "b": -2000.0, "c": 1500.0, "d": 5.0, "e": "1e3", "f": "1e", "g": "e3",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ['"\\ud800": 1\n', 'pvs: {inputs: {"\\ud800": {type: int}}}\n', with_pv('{"\\udfff": 1, type: int}')]
)
def test_broken_unicode_in_a_key_does_not_break_the_answer(text):
    """The message can be written as JSON in UTF-8."""
    for failure in failures_of(text):
        json.dumps(failure.to_dict(), ensure_ascii=False).encode()


def test_a_character_that_json_writes_as_two_is_one():
    """JSON has escapes for 16 bits only: what is beyond stands there as a pair."""
    assert parse_manifest('{"parameters": {"a": "\\ud83d\\ude00"}}').merged_parameters({})["a"] == "\U0001f600"


# --- bombs

NINE = 9
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * NINE)}]\n"
    for before, after in zip(string.ascii_lowercase, string.ascii_lowercase[1:20], strict=False)
)
MERGED_LAUGHS = "x-a: &a {k: 1}\n" + "".join(
    f"x-{after}: &{after} {{{', '.join(f'k{n}: *{before}' for n in range(NINE))}}}\n"
    for before, after in zip(string.ascii_lowercase, string.ascii_lowercase[1:20], strict=False)
)
BOMBS = {
    "billion laughs": LAUGHS,
    "laughs in mappings": MERGED_LAUGHS,
    "a list that holds itself": "a: &a [*a]\n",
    "a list that holds itself often": f"a: &a [{','.join(['*a'] * 15_000)}]\n",
    "a mapping that holds itself": "parameters: &a {b: *a}\n",
    "one mapping merged often": f"x-a: &a {{k: 1}}\nparameters:\n  <<: [{','.join(['*a'] * 30_000)}]\n",
    "merges of merges": "x-a: &a {k: 1}\n"
    + "".join(
        f"x-{after}: &{after} {{<<: [{','.join([f'*{before}'] * NINE)}]}}\n"
        for before, after in zip(string.ascii_lowercase, string.ascii_lowercase[1:20], strict=False)
    ),
    "a long list": f"parameters: {{a: [{'1,' * 100_000}]}}\n",
    "many keys": "parameters:\n" + "".join(f"  a{number}: 1\n" for number in range(25_000)),
    "many megabytes": "parameters:\n" + "  a: 1\n" * 1_000_000,
    "one long line": "x-a: " + "x" * 10_000_000,
    "comments": "# nothing\n" * 1_000_000,
    "open brackets": "[" * 100_000,
    "open braces": "{a: " * 50_000,
    "dashes": "- " * 100_000,
    "question marks": "? " * 100_000,
    "deep and closed": "x-a: " + "[" * 5_000 + "]" * 5_000,
    "deep blocks": "".join(f"{' ' * depth}a:\n" for depth in range(700)),
    "anchors": "&a " * 80_000,
    "quotes": "'" * 250_001,
    "directives": "%TAG ! !\n" * 25_000,
    "base sixty": "parameters: {a: " + "1:" * 125_000 + "1}\n",
    "base sixty with a point": "parameters: {a: " + "1:" * 125_000 + "1.0}\n",
    "underscores": "parameters: {a: 1" + "_" * 200_000 + "e}\nx",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_quickly(name):
    """Aliases that multiply, endless nesting and sheer size are refused before they cost anything."""
    started = time.process_time()
    failures = failures_of(BOMBS[name])
    assert time.process_time() - started < 4.0
    assert len(str(failures)) < 5000


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (
            "parameters:\n" + "".join(f"  a{n}: 1\n" for n in range(15_000)),
            "the file has more than 20000 values",
            10_000,
        ),
        ("a:\n" + "".join(f"{' ' * depth}a:\n" for depth in range(1, 200)), "nested more than 100 levels deep", 100),
        (LAUGHS, "the file expands to more than 20000 values", 1),
        ("# nothing\n" * 30_000, "the file has more than 262144 characters; keep data in a file of its own", 1),
    ],
    ids=["values", "levels", "aliases", "characters"],
)
def test_each_limit_says_what_is_too_much(text, message, line):
    """The limit and, where there is one, the line at which it was reached."""
    failure = the_failure(text)
    assert message in failure.message
    assert abs(failure.line - line) <= 2


def test_what_is_large_but_honest_is_taken():
    """A thousand PVs and deep parameters are no bomb."""
    pvs = {f"P{number}": {"type": "float", "unit": "mm", "prec": 2} for number in range(1000)}
    deep = 1
    for _ in range(30):
        deep = {"a": deep}
    manifest = parse_manifest(json.dumps({"pvs": {"inputs": pvs}, "parameters": {"deep": deep}}))
    assert len(manifest.inputs) == 1000


def test_aliases_are_of_use():
    """Real files share a few lines between many PVs."""
    text = "x-axis: &axis {type: float, unit: mm}\npvs:\n  inputs:\n" + "".join(
        f"    A{n}: *axis\n" for n in range(100)
    )
    assert len(parse_manifest(text).inputs) == 100


# --- whatever arrives

YAML_MARKS = "abcxAON01e.: \n\t-?!&*#|>%@`'\"[]{},<=~_\\/\0\x07é\ud800\u2028\ufeff"
WORDS = st.sampled_from(
    [
        *(
            "type",
            "class",
            "prefix",
            "parameters",
            "pvs",
            "arguments",
            "inputs",
            "outputs",
            "A",
            "x-a",
            "value",
            "desc",
        ),
        *(
            "float",
            "int",
            "bool",
            "string",
            "enum",
            "states",
            "alarms",
            "high",
            "drive_low",
            "mode",
            "interval",
            "task",
        ),
        *("triggered", "version", "<<", "\ud800", "", "autosave", "znam", "state_severities", "link"),
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**320)
    | st.floats()
    | st.text(max_size=3)
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=2)
    | WORDS
)
STRUCTURES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.integers() | st.booleans() | st.none() | st.dates(), inner, max_size=4)
        | st.sets(WORDS, max_size=2)
    ),
    max_leaves=20,
)
# Nearer to what is right: the sections are there, and what is in them is not.
NEARLY = st.fixed_dictionaries(
    {
        "pvs": st.fixed_dictionaries(
            {"inputs": st.dictionaries(WORDS, st.dictionaries(WORDS, STRUCTURES, max_size=4), max_size=3)}
        )
    },
    optional={"parameters": st.dictionaries(WORDS, STRUCTURES, max_size=3), "arguments": STRUCTURES, "type": VALUES},
)


def holds(text):
    """Parse; whatever comes, it must be a manifest or a rejection that can be shown."""
    try:
        manifest = parse_manifest(text)
    except PluginRejected as error:
        shown = json.dumps([failure.to_dict() for failure in error.failures], ensure_ascii=False).encode()
        assert len(shown) < 50_000
        lines = (
            text.count("\n") + text.count("\r") + text.count("\u2028") + text.count("\u2029") + text.count("\x85") + 1
        )
        for failure in error.failures:
            assert failure.step == "config"
            assert failure.line is None or 1 <= failure.line <= lines
        return
    assert isinstance(manifest, Manifest)
    json.dumps(manifest.merged_parameters({}), allow_nan=False)


@given(st.text(st.sampled_from(YAML_MARKS), max_size=40) | st.text(max_size=40))
def test_no_text_breaks_the_parser(text):
    """Arbitrary text gives a manifest or PluginRejected."""
    holds(text)


@given(STRUCTURES | NEARLY)
def test_no_structure_breaks_the_checks(data):
    """Arbitrary structures, as YAML of any style, give a manifest or PluginRejected."""
    holds(yaml.dump(data, allow_unicode=True))
    holds(yaml.dump(data, default_flow_style=True))


@given(st.integers(0, len(SEED_CONFIG)), st.integers(0, 3), st.text(st.sampled_from(YAML_MARKS), max_size=3))
def test_no_slip_of_the_pen_breaks_the_parser(place, removed, added):
    """A right file with a few characters changed gives a manifest or PluginRejected."""
    holds(SEED_CONFIG[:place] + added + SEED_CONFIG[place + removed :])
