"""Functions that authors register for expressions."""

import pytest

from iocmng.core import functions
from iocmng.core.functions import register, registered
from iocmng.errors import InvalidRequest


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    """Give each test an empty table."""
    monkeypatch.setattr(functions, "_registered", {})


def test_a_function_is_registered_under_its_own_name():
    """As a decorator without arguments, which leaves the function as it is."""

    @register
    def celsius(kelvin):
        return kelvin - 273

    assert registered()["celsius"] is celsius
    assert celsius(300) == 27


def test_a_function_is_registered_under_the_name_given():
    """As a decorator with a name."""

    @register("c")
    def celsius(kelvin):
        return kelvin - 273

    assert dict(registered()) == {"c": celsius}


@pytest.mark.parametrize("name", ["", "two words", "1st", "a.b", "a\n"])
def test_a_name_that_no_expression_could_use_is_refused(name):
    """It must be a Python identifier."""
    with pytest.raises(InvalidRequest, match="identifier"):
        register(name)(abs)
    with pytest.raises(InvalidRequest, match="identifier"):
        register(lambda: 0)
    assert not registered()


def test_the_table_is_read_only():
    """Only register() adds to it."""
    with pytest.raises(TypeError):
        registered()["abs"] = abs
