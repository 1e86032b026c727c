"""A plugin's object is made, whatever its author's __init__ looks like."""

import inspect
import json
from pathlib import Path

import pytest
from base_fakes import bound

from iocmng import JobBase, TaskBase
from iocmng.base.author_errors import MAX_CHARACTERS, describe
from iocmng.base.construct import author_failure
from iocmng.errors import PermanentError, PluginRejected

HERE = Path(__file__).name


class Task(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pass

    def cleanup(self):
        pass


class Job(JobBase):
    def initialize(self):
        pass

    def execute(self):
        pass


class NoInit(Task):
    pass


class SelfOnly(Task):
    def __init__(self):
        self.seen = (self.name, self.parameters["gain"], self.pv_prefix)


class WithSuper(Task):
    def __init__(self):
        super().__init__()
        self.seen = (self.name, self.parameters["gain"], self.pv_prefix)


class NameAndParameters(Task):
    def __init__(self, name, parameters):
        super().__init__(name, parameters)
        self.seen = (name, parameters["gain"], self.pv_prefix)


class NameOnly(Task):
    def __init__(self, name):
        self.seen = (name, self.parameters["gain"], self.pv_prefix)


class KeywordOnly(Task):
    def __init__(self, *, parameters, name="nobody"):
        self.seen = (name, parameters["gain"], self.pv_prefix)


class WithDefaults(Task):
    def __init__(self, name=None, parameters=None, retries=3):
        super().__init__(name=name, parameters=parameters)
        self.seen = (name, parameters["gain"], self.pv_prefix)
        assert retries == 3


class Prefix(Task):
    def __init__(self, name, parameters, prefix):
        self.seen = (name, parameters["gain"], prefix)


class Anything(Task):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = (self.name, self.parameters["gain"], self.pv_prefix)


class Keywords(Task):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = (kwargs["name"], kwargs["parameters"]["gain"], kwargs["prefix"])


class Positional(Task):
    def __init__(self, *args):
        super().__init__(*args)
        self.seen = (self.name, self.parameters["gain"], self.pv_prefix)


class Mixin:
    def __init__(self, **kwargs):
        self.mixed = True
        super().__init__(**kwargs)


class WithMixin(Mixin, SelfOnly):
    def __init__(self):
        self.seen = (self.name, self.parameters["gain"], self.pv_prefix)
        super(SelfOnly, self).__init__()


class JobWithInit(Job):
    def __init__(self, name, parameters):
        self.seen = (name, parameters["gain"], self.pv_prefix)


FORMS = [
    *(SelfOnly, WithSuper, NameAndParameters, NameOnly, KeywordOnly, WithDefaults, Prefix),
    *(Anything, Keywords, Positional, WithMixin, JobWithInit),
]


@pytest.mark.parametrize("cls", FORMS, ids=lambda cls: cls.__name__)
def test_every_form_of_init_gets_what_it_names(cls):
    """Name and parameters as arguments or as attributes: both are the plugin's own, before __init__ runs."""
    plugin, *_ = bound(cls, gain=7)
    assert plugin.seen == ("under-test", 7, "X:UNDER-TEST")
    assert (plugin.name, plugin.parameters["gain"]) == ("under-test", 7)


@pytest.mark.parametrize("cls", [NoInit, Job], ids=lambda cls: cls.__name__)
def test_a_class_without_init_is_made_too(cls):
    """Nothing to do for the author."""
    plugin, *_ = bound(cls, gain=7)
    assert plugin.parameters["gain"] == 7


def test_what_init_does_to_its_argument_does_not_reach_the_parameters():
    """The argument is a copy; what was asked for stays as it is."""

    class Greedy(Task):
        def __init__(self, parameters):
            parameters.clear()

    plugin, *_ = bound(Greedy, gain=7)
    assert (plugin.parameters["gain"], plugin._runtime.parameters["gain"]) == (7, 7)


def test_two_plugins_of_one_class_share_nothing():
    """Attributes belong to the object."""
    first, *_ = bound(NoInit, gain=7)
    second, *_ = bound(NoInit, gain=8)
    first.parameters["gain"] = 9
    first.link_values["A"] = 1
    assert (second.parameters["gain"], second.link_values) == (8, {})


class Failing(Task):
    def __init__(self):
        self.reach()

    def reach(self):
        raise self.error  # the line that the failure names


LINE = inspect.getsourcelines(Failing.reach)[1] + 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such device"), "ValueError: no such device"),
        (KeyError("host"), "KeyError: 'host'"),
        (PermanentError("the detector is gone"), "the detector is gone"),
        (SystemExit(3), "the code called exit(3)"),
        (RuntimeError(), "RuntimeError: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_init_that_raises_is_a_rejected_plugin(monkeypatch, error, message):
    """Step constructor, with the text of the exception and the author's file and line; exit() is no exception."""
    monkeypatch.setattr(Failing, "error", error, raising=False)
    with pytest.raises(PluginRejected) as caught:
        bound(Failing)
    (failure,) = caught.value.failures
    assert (failure.step, failure.message, failure.file, failure.line) == ("constructor", message, HERE, LINE)
    assert caught.value.__cause__ is None


def test_an_init_with_arguments_that_nobody_has_is_a_rejected_plugin():
    """The message names the argument."""

    class Demanding(Task):
        def __init__(self, controller):
            pass

    with pytest.raises(PluginRejected, match=r"constructor: TypeError: .*'controller'"):
        bound(Demanding)


def test_a_class_that_is_still_abstract_is_a_rejected_plugin():
    """What the checks would have found before is no crash here either."""

    class Half(TaskBase):
        def initialize(self):
            pass

    with pytest.raises(PluginRejected, match=r"constructor: TypeError: .*abstract"):
        bound(Half)


def test_a_failure_in_a_library_names_where_it_was_raised():
    """The last place outside of iocmng, which is what the author can look at."""
    try:
        json.loads("{")
    except ValueError as error:
        failure = author_failure("initialize", error)
    assert failure.step == "initialize"
    assert failure.message.startswith("JSONDecodeError: ")
    assert failure.file == "decoder.py"


def test_a_failure_without_a_traceback_has_no_place():
    """An exception that was made and never raised."""
    failure = author_failure("initialize", ValueError("x"))
    assert (failure.message, failure.file, failure.line) == ("ValueError: x", None, None)


def test_a_text_without_end_is_cut():
    """What an exception says is passed on up to a limit, with a mark."""
    text = describe(ValueError("x" * 50_000))
    assert text.endswith("... (50000 characters)")
    assert len(text) < MAX_CHARACTERS + 100
