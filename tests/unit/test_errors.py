"""The error tree: codes, statuses, and the way across process borders."""

import ast
import copy
import pickle
import re
from pathlib import Path

import pytest
import ray.cloudpickle as cloudpickle

import iocmng
from iocmng import errors
from iocmng.errors import (
    AuthorError,
    Cancelled,
    CheckFailure,
    IocmngError,
    ItemFailed,
    PermanentError,
    PluginRejected,
    TemporaryError,
)

FAILURES = (CheckFailure("config", "unknown key", "config.yaml", 3), CheckFailure("clone", "no such branch"))


def tree(cls=IocmngError):
    """Return a class of errors.py and everything below it there."""
    below = [error for child in cls.__subclasses__() if child.__module__ == errors.__name__ for error in tree(child)]
    return [cls, *below]


CLASSES = tree()


def make(cls):
    """Return an error of the class with everything that an error can carry."""
    if cls is TemporaryError:
        error = cls("no light in the tunnel", delay=2.5)
    elif cls is ItemFailed:
        error = cls("no light in the tunnel", index=7)
    elif cls in (PermanentError, Cancelled):
        error = cls("no light in the tunnel")
    else:
        error = cls("no light in the tunnel", failures=FAILURES)
    error.attempt = {"number": 3}
    return error


def through_pickle(error):
    return pickle.loads(pickle.dumps(error))


def through_oldest_pickle(error):
    return pickle.loads(pickle.dumps(error, protocol=0))


def through_cloudpickle(error):
    return cloudpickle.loads(cloudpickle.dumps(error))


WAYS = [through_pickle, through_oldest_pickle, through_cloudpickle, copy.copy, copy.deepcopy]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_crosses_process_borders_unchanged(cls, way):
    """Class, text, failures and further attributes are the same on the other side, also after two borders."""
    error = make(cls)
    for arrived in (way(error), way(way(error))):
        assert type(arrived) is cls
        assert (str(arrived), arrived.message, arrived.args) == (
            "no light in the tunnel",
            "no light in the tunnel",
            ("no light in the tunnel",),
        )
        assert arrived.__dict__ == error.__dict__
        assert arrived.attempt == {"number": 3}
        assert arrived.failures == error.failures


def test_the_delay_of_a_temporary_error_crosses_too():
    """TemporaryError(delay=…) keeps its delay, also where none was given."""
    assert through_pickle(TemporaryError("later", delay=2.5)).delay == 2.5
    assert through_cloudpickle(TemporaryError("later")).delay is None


class Awkward(AuthorError):
    """An author's error whose constructor pickle could not call."""

    def __init__(self, *, device, tries):
        super().__init__(f"{device} did not answer {tries} times")
        self.device = device


class Silent(AuthorError):
    """An author's error that gives no text to its base class."""

    def __init__(self, device):
        self.device = device


class Empty(PermanentError):
    """An author's error without anything."""

    def __init__(self):
        pass


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("error", "message"),
    [(Awkward(device="pump", tries=3), "pump did not answer 3 times"), (Silent("pump"), "pump"), (Empty(), "")],
    ids=lambda value: type(value).__name__,
)
def test_authors_own_errors_cross_whatever_their_constructor_looks_like(error, message, way):
    """Keyword-only arguments, reformatted texts or a forgotten super().__init__() do no harm."""
    arrived = way(error)
    assert type(arrived) is type(error)
    assert arrived.message == message
    assert arrived.__dict__ == error.__dict__


def test_codes_are_stable_unique_and_each_class_has_its_own():
    """No two classes share a code, and each code is lower-case words joined by hyphens."""
    codes = [vars(cls)["code"] for cls in CLASSES]
    assert len(set(codes)) == len(CLASSES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


# What the REST contract (section 4) says of each kind of failure.
STATUS = {
    "InvalidRequest": 422,
    "PluginRejected": 422,
    "WrongKind": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "UnknownPlugin": 404,
    "UnknownRun": 404,
    "RunCancelled": 409,
    "TooManyRuns": 429,
    "TooManyTries": 429,
    "DuplicatePlugin": 409,
    "WrongState": 409,
    "BodyTooLarge": 413,
    "BodyTooSlow": 408,
    "SourceUnavailable": 502,
    "PluginCrashed": 502,
    "ServerUnavailable": 503,
    "StateUnavailable": 503,
    "ServerUnreachable": 503,
    "NoPorts": 503,
    "TimedOut": 504,
}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_status_is_that_of_the_rest_contract(cls):
    """A user's mistake is 4xx; what is the server's or the author's fault is 5xx."""
    assert cls.http_status == STATUS.get(cls.__name__, 500)


def test_the_docstring_draws_the_whole_tree():
    """Every class stands in the tree of errors.py with its status and its code, and nothing else does."""
    drawn = {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"^[ │├└─]{4,}(\w+)(?:\s+(\d{3})\s+([a-z-]+))?", line):
            drawn[match[1]] = (match[2], match[3])
    assert set(drawn) == {cls.__name__ for cls in CLASSES}
    for cls in CLASSES:
        status, code = drawn[cls.__name__]
        if status is not None:
            assert (int(status), code) == (cls.http_status, cls.code)


def test_the_tree_is_in_one_file():
    """No other module of the package derives an error of its own from the tree."""
    names = {cls.__name__ for cls in CLASSES}
    package = Path(iocmng.__file__).parent
    strays = [
        f"{path.relative_to(package)}: {node.name}"
        for path in package.rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(getattr(base, "id", getattr(base, "attr", None)) in names for base in node.bases)
    ]
    assert strays == []


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (CheckFailure("clone", "no such branch"), "clone: no such branch"),
        (CheckFailure("config", "no mapping", "config.yaml"), "config: no mapping (config.yaml)"),
        (CheckFailure("config", "unknown key", "config.yaml", 3), "config: unknown key (config.yaml, line 3)"),
    ],
)
def test_a_failed_check_reads_as_step_message_and_place(failure, text):
    """The text names step, file and line as far as they are known."""
    assert str(failure) == text


def test_a_failed_check_has_its_entry_of_the_rest_answer():
    """to_dict() has exactly the keys of validation.errors."""
    assert CheckFailure("syntax", "bad", "a.py", 2).to_dict() == {
        "step": "syntax",
        "message": "bad",
        "file": "a.py",
        "line": 2,
    }


def test_a_rejection_says_every_failed_check():
    """PluginRejected.because joins the texts and keeps the entries."""
    error = PluginRejected.because(*FAILURES)
    assert error.message == "config: unknown key (config.yaml, line 3); clone: no such branch"
    assert error.failures == FAILURES


def test_an_unavailable_source_is_a_failed_clone():
    """SourceUnavailable.because has one entry, for the step clone."""
    error = errors.SourceUnavailable.because("the host does not answer")
    assert error.message == "clone: the host does not answer"
    assert error.failures == (CheckFailure("clone", "the host does not answer"),)
