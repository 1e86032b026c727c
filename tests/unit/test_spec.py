"""What is asked for: the body of an add."""

import math
import pickle

import pytest
from properties import given, st
from pydantic import ValidationError

from iocmng.core.builtin_pvs import Kind
from iocmng.core.request import PluginRequest
from iocmng.core.source import GitSource, LocalSource
from iocmng.core.spec import PluginSpec

URL = "https://example.org/a.git"
PAT = "ghp_hunter2hunter2"


def request(**fields):
    return PluginRequest.model_validate({"name": "pump", "git_url": URL, **fields})


def mistakes(**fields):
    """Return the messages for a body that does not fit, as text."""
    with pytest.raises(ValidationError) as caught:
        request(**fields)
    return "; ".join(f"{error['loc']}: {error['msg']}" for error in caught.value.errors())


def test_defaults_are_those_of_the_contract():
    """Only a name and a source are needed; a plugin starts at once, and comes back as it was."""
    body = request()
    assert (body.path, body.branch, body.commit, body.pat, body.parameters) == ("", None, None, None, {})
    assert (body.auto_start, body.auto_start_on_boot, body.autostart_order) == (True, None, None)


@pytest.mark.parametrize("name", ["a", "A1", "0", "my-monitor", "my_monitor-2", "n" * 128])
def test_names_of_the_contract_are_taken(name):
    """1 to 128 letters, digits, '_' and '-', beginning with a letter or a digit."""
    assert request(name=name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "_a",
        "n" * 129,
        "a b",
        "a.b",
        "a/b",
        "..",
        "a\n",
        "\na",
        "a\0",
        "é",
        "\uff41",
        "\u0661",
        "a:b",
        7,
        None,
    ],
    ids=ascii,
)
def test_other_names_are_refused(name):
    """A trailing newline, letters and digits beyond ASCII, and what is no text are refused."""
    assert "'name'" in mistakes(name=name)


@pytest.mark.parametrize("absent", ["", None])
def test_an_empty_text_counts_as_absent(absent):
    """Dashboards send "" for fields that were left empty."""
    body = request(local_path=absent, branch=absent, commit=absent, pat=absent, path=absent)
    assert body.source == GitSource(URL)
    local = request(git_url=absent, local_path="/srv/pump", branch=absent, commit=absent, pat=absent)
    assert local.source == LocalSource("/srv/pump")


def test_parameters_may_be_null():
    """Null is no parameters."""
    assert request(parameters=None).parameters == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"git_url": None},
        {"git_url": ""},
        {"git_url": "", "local_path": ""},
        {"local_path": "/srv/pump"},
    ],
)
def test_exactly_one_source_is_needed(fields):
    """Neither or both is a mistake that says so."""
    assert "give git_url or local_path, and only one of them" in mistakes(**fields)


@pytest.mark.parametrize(
    "fields", [{"branch": "main"}, {"commit": "0123456"}, {"pat": PAT}, {"ssh_key": PAT}, {"require_signed": True}]
)
def test_what_belongs_to_git_is_refused_beside_a_local_path(fields):
    """A branch of a directory would be ignored silently, so it is refused."""
    text = mistakes(git_url=None, local_path="/srv/pump", **fields)
    assert "branch, commit, pat, pat_file, ssh_key, ssh_key_file and require_signed belong to git_url" in text


def test_the_source_says_that_there_is_a_credential_and_holds_none():
    """The PAT itself is no part of the source."""
    source = request(pat=PAT, path="src", branch="v1", commit="0123456").source
    assert source == GitSource(URL, "src", "v1", "0123456", has_credential=True)
    assert PAT not in repr(source)
    assert request().source.has_credential is False


def test_the_pat_is_shown_nowhere():
    """Neither repr, str, dumps, the schema's examples nor the desired state show it; only asking for it does."""
    body = request(pat=PAT, parameters={"a": 1})
    shown = [
        repr(body),
        str(body),
        f"{body}",
        body.model_dump_json(),
        repr(body.model_dump()),
        repr(body.model_dump(mode="json")),
        repr(body.spec(Kind.TASK)),
        repr(body.source),
        repr(body.model_copy()),
    ]
    assert not [text for text in shown if "hunter2" in text]
    assert body.pat.get_secret_value() == PAT


@pytest.mark.parametrize(
    "fields",
    [
        {"pat": [PAT]},
        {"pat": {"token": PAT}},
        {"pat": PAT, "git_url": None},
        {"pat": PAT, "name": "a b"},
        {"pat": PAT, "unknown": 1},
        {"pat": PAT, "local_path": "/srv"},
    ],
)
def test_a_mistake_in_the_body_does_not_show_the_pat_either(fields):
    """The text of the error, which may end in a log, hides what was sent."""
    with pytest.raises(ValidationError) as caught:
        request(**fields)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"a": math.nan}, "parameters.a is nan"),
        ({"a": [math.inf]}, "parameters.a[0] is inf"),
        ({"a": {"b": "\ud800"}}, "parameters.a.b has a character that is no valid Unicode"),
        ({"\udc00": 1}, "no valid Unicode"),
        ({"a": 10**400}, "parameters.a is a whole number too large"),
    ],
)
def test_parameters_are_plain_json(parameters, problem):
    """NaN, infinities and lone surrogates are refused with their place."""
    assert problem in mistakes(parameters=parameters)


@pytest.mark.parametrize("body", ['"\\ud800"', "NaN", "Infinity", "1e999", "[NaN]"])
def test_parameters_that_arrive_as_json_are_checked_too(body):
    """What JSON's own reader lets in is refused as well."""
    with pytest.raises(ValidationError):
        PluginRequest.model_validate_json(f'{{"name": "a", "git_url": "{URL}", "parameters": {{"a": {body}}}}}')


@pytest.mark.parametrize("parameters", [[], "a", 1, [["a", 1]]])
def test_parameters_are_an_object(parameters):
    """A list or a text is refused."""
    assert "'parameters'" in mistakes(parameters=parameters)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("git_url", "h" * 2049),
        ("git_url", 5),
        ("path", "p" * 1025),
        ("path", ["a"]),
        ("branch", "b" * 256),
        ("commit", "c" * 65),
        ("pat", 5),
        ("auto_start", "perhaps"),
        ("auto_start", None),
        ("auto_start_on_boot", "perhaps"),
        ("autostart_order", 2**31),
        ("autostart_order", -(2**31) - 1),
        ("autostart_order", 1.5),
        ("autostart_order", math.nan),
        ("unknown", 1),
        ("gitUrl", URL),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_name(key, value):
    """Wrong types, over-long texts and unknown keys name the key."""
    assert f"'{key}'" in mistakes(**{key: value})


@given(
    st.dictionaries(
        st.sampled_from(sorted(PluginRequest.model_fields)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers()),
    )
)
def test_no_body_makes_the_check_fail_itself(body):
    """Whatever is sent, the check ends with a request or with ValidationError; a request has exactly one source."""
    try:
        taken = PluginRequest.model_validate(body)
    except ValidationError:
        return
    assert (taken.git_url is None) != (taken.local_path is None)
    assert taken.name == body["name"]


def test_the_desired_state_is_what_was_asked_for():
    """spec() takes everything over, running as auto_start says, in the first generation."""
    spec = request(auto_start=False, auto_start_on_boot=True, autostart_order=3, parameters={"a": 1}).spec(Kind.JOB)
    assert spec == PluginSpec(
        name="pump",
        source=GitSource(URL),
        kind=Kind.JOB,
        parameters={"a": 1},
        running=False,
        auto_start=False,
        auto_start_on_boot=True,
        autostart_order=3,
        generation=1,
    )
    assert request().spec(None).running is True


def test_requests_and_specs_cross_process_borders():
    """Both are pickled between the API, the Controller and the plugin's process."""
    body = request(pat=PAT, parameters={"a": [1]})
    assert pickle.loads(pickle.dumps(body)) == body
    assert pickle.loads(pickle.dumps(body)).pat.get_secret_value() == PAT
    assert pickle.loads(pickle.dumps(body.spec(Kind.TASK))) == body.spec(Kind.TASK)


def test_a_request_cannot_be_changed():
    """It is what was asked for, for as long as it lives."""
    with pytest.raises(ValidationError):
        request().name = "other"
