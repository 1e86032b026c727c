"""What may stand in parameters, and how parameters are laid over each other."""

import copy
import datetime
import decimal
import json
import math

import pytest
from properties import given, st

from iocmng.core.json_values import MAX_DEPTH, MAX_INT_BITS, deep_merge, json_problem

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=12
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)
# Few keys and small values, so that two of them meet often.
NESTED = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def nested(levels):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@given(JSON)
def test_whatever_json_holds_is_taken_and_comes_back_the_same(value):
    """Plain JSON has no problem, and writing and reading it changes nothing."""
    assert json_problem(value) is None
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@given(st.dictionaries(TEXT, JSON | st.floats() | st.text() | st.binary() | st.dates(), max_size=3))
def test_what_is_taken_can_always_be_written(value):
    """If there is no problem, strict JSON in UTF-8 can be made of it."""
    if json_problem(value) is None:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": math.nan}, "parameters.a is nan: JSON has no such number"),
        ({"a": [1, -math.inf]}, "parameters.a[1] is -inf: JSON has no such number"),
        ({"a": {"b": "\ud800"}}, "parameters.a.b has a character that is no valid Unicode"),
        ({"a": {"\udfff": 1}}, "parameters.a has a key with a character that is no valid Unicode"),
        ({"a": {1: 2}}, "parameters.a has the key 1, which is not text; write it in quotes"),
        ({None: 2}, "parameters has the key None, which is not text; write it in quotes"),
        ({"a": datetime.date(2026, 1, 31)}, "parameters.a is a date, which is no JSON value"),
        ({"a": b"x"}, "parameters.a is a bytes, which is no JSON value"),
        ({"a": (1, 2)}, "parameters.a is a tuple, which is no JSON value"),
        ({"a": {1, 2}}, "parameters.a is a set, which is no JSON value"),
        ({"a": decimal.Decimal(1)}, "parameters.a is a Decimal, which is no JSON value"),
        ({"a": 2**MAX_INT_BITS}, "parameters.a is a whole number too large for JSON"),
        ({"a": -(10**5000)}, "parameters.a is a whole number too large for JSON"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value, problem):
    """The sentence says which value, and why."""
    assert json_problem(value).startswith(problem)


@pytest.mark.parametrize("number", [2**MAX_INT_BITS - 1, -(2**MAX_INT_BITS) + 1, 2**64, 0, True])
def test_large_whole_numbers_are_taken_as_long_as_they_can_be_written(number):
    """64-bit identifiers and larger numbers are no problem."""
    assert json_problem({"a": number}) is None
    assert json.loads(json.dumps(number)) == number


def test_the_place_begins_with_the_word_that_is_given():
    """A job's result is called data."""
    assert json_problem([math.inf], "data") == "data[0] is inf: JSON has no such number"


def test_nesting_is_limited_before_it_can_do_harm():
    """32 levels are taken, 33 are not, and a million end in a sentence, not in a RecursionError."""
    assert json_problem(nested(MAX_DEPTH)) is None
    assert "nested more than 32 levels deep" in json_problem(nested(MAX_DEPTH + 1))
    endless = []
    endless.append(endless)
    assert "nested more than 32 levels deep" in json_problem(endless)


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": {"x": {"p": 1}}}, {"a": {"x": {"q": 2}}}, {"a": {"x": {"p": 1, "q": 2}}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
    ],
)
def test_objects_are_merged_and_everything_else_is_replaced(base, override, merged):
    """Deep for objects; lists, numbers and null replace what was there."""
    assert deep_merge(base, override) == merged


@given(NESTED, NESTED)
def test_what_is_laid_over_wins_and_nothing_else_changes(base, override):
    """What the override says is in the result, what only the base says is kept, and neither of them is changed."""
    before = copy.deepcopy((base, override))

    def check(base, override, merged):
        assert set(merged) == set(base) | set(override)
        for key, value in merged.items():
            if key not in override:
                assert value == base[key]
            elif isinstance(override[key], dict) and isinstance(base.get(key), dict):
                check(base[key], override[key], value)
            else:
                assert value == override[key]

    check(base, override, deep_merge(base, override))
    assert (base, override) == before


@given(NESTED, NESTED, NESTED)
def test_laying_over_twice_is_the_same_as_laying_over_nothing_more(base, override, other):
    """It is idempotent, and nothing laid over something changes nothing."""
    merged = deep_merge(base, override)
    assert deep_merge(merged, override) == merged
    assert deep_merge(base, {}) == base
    assert deep_merge({}, other) == other
