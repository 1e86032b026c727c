"""Whatever text or structure comes in: it is taken, or refused with sentences; there is no third way."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import settings as hypothesis_settings
from properties import given, st
from pydantic import ValidationError

from iocmng.api.run_schemas import RunRequest
from iocmng.core.git_allow import check_allowed
from iocmng.core.manifest import Manifest
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.names import check_plugin_name, check_prefix, is_pv_segment, site_prefix
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.schedule import Schedule, check_cron, check_timezone
from iocmng.core.source import GitSource, LocalSource, check_source, is_file_url, is_ssh_url
from iocmng.errors import InvalidRequest, IocmngError, PluginRejected
from iocmng.loading.requirement_lines import read_lines
from iocmng.settings import Settings, load_settings

pytestmark = pytest.mark.thorough

KEYS = [
    *("type", "class", "prefix", "watchdog", "schedule", "concurrency", "parameters", "parameters_schema", "pvs"),
    *("arguments", "resources", "node", "inputs", "outputs", "x-note", "mode", "interval", "version", "triggered"),
    *("value", "desc", "unit", "prec", "low", "high", "drive_low", "drive_high", "alarms", "hihi", "hihi_severity"),
    *("znam", "onam", "alarm_on", "states", "autosave", "cron", "timezone", "seconds", "restart", "pattern", "secret"),
    *("minimum", "maximum", "default", "items", "properties", "A", "B", "<<", "link"),
]
WORDS = [
    *("task", "job", "float", "int", "bool", "string", "enum", "waveform", "longstring", "continuous", "triggered"),
    *("reactive", "MAJOR", "MINOR", "off", "@daily", "* * * * *", "UTC", "on", "no", "~", "1e3", "0x10", "12:30:45"),
    *(".nan", "2026-01-01", "!x", "&a", "*a", "..", "(", "[a-z", "\\"),
]

keys = st.sampled_from(KEYS) | st.text(max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=60)
    | st.dates()
    | st.binary(max_size=4)
)
structures = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)
configs = st.dictionaries(st.sampled_from(KEYS), structures, max_size=5)


def refused_well(error: IocmngError) -> None:
    """Check that an error says something that every protocol can carry."""
    assert error.message
    assert len(error.message) < 20_000
    json.dumps([failure.to_dict() for failure in error.failures], ensure_ascii=False).encode()
    assert all(failure.message and len(failure.message) < 2000 for failure in error.failures)


def taken_or_refused(read: Callable[[], Any]) -> Any:
    """Return what `read` returns, or None if it refuses with sentences."""
    try:
        return read()
    except (PluginRejected, InvalidRequest) as error:
        refused_well(error)
        return None


def or_value_error(read: Callable[[], str]) -> str | None:
    """Return the same where a ValueError is the refusal."""
    with contextlib.suppress(ValueError):
        return read()
    return None


def dumped(value: Any) -> str:
    """Return a structure as YAML."""
    return yaml.safe_dump(value, allow_unicode=True)


# --- config.yaml


@given(structures | configs)
def test_any_structure_is_a_manifest_or_is_refused(value: Any):
    """Whatever the keys and values, there is a manifest or there are sentences."""
    manifest = taken_or_refused(lambda: parse_manifest(dumped(value)))
    assert manifest is None or isinstance(manifest, Manifest)


@given(configs, st.dictionaries(keys, structures, max_size=3))
def test_any_parameters_are_merged_or_refused(config: Any, overrides: Any):
    """Parameters of an add are laid over those of a manifest, or refused."""
    if manifest := taken_or_refused(lambda: parse_manifest(dumped(config))):
        merged = taken_or_refused(lambda: manifest.merged_parameters(overrides))
        json.dumps(merged, allow_nan=False)


@given(st.text(max_size=200) | st.text("{}[]:,-?&*!|>'\"%@` \n\t#ab1.", max_size=80))
def test_any_text_is_a_manifest_or_is_refused(text: str):
    """Text that is no YAML is refused like any other mistake."""
    taken_or_refused(lambda: parse_manifest(text))


numbers = st.floats(-1e6, 1e6)
pvs = st.one_of(
    st.fixed_dictionaries({"type": st.just("float")}, optional={"value": numbers, "prec": st.integers(0, 9)}),
    st.fixed_dictionaries({"type": st.just("int")}, optional={"value": st.integers(-1000, 1000)}),
    st.fixed_dictionaries({"type": st.just("bool")}, optional={"value": st.booleans()}),
    st.fixed_dictionaries({"type": st.just("string")}, optional={"value": st.text("abc ü€", max_size=10)}),
    st.fixed_dictionaries({"type": st.just("enum"), "states": st.just(["A", "B"])}),
)
tables = st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), pvs, max_size=4)
good_configs = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["task", "job"]),
        "prefix": st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True),
        "parameters": st.dictionaries(st.text("abcxyz", min_size=3, max_size=5), st.integers() | st.text(max_size=9)),
        "pvs": st.fixed_dictionaries({"inputs": tables}),
    },
)


@given(good_configs)
def test_a_manifest_comes_back_as_it_was(config: Any):
    """A manifest that is written out, as YAML or as JSON, is read as the same."""
    manifest = parse_manifest(dumped(config))
    written = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert parse_manifest(dumped(written)) == manifest
    assert parse_manifest(json.dumps(written), "config.json") == manifest


# --- names


@given(st.text(max_size=140) | st.from_regex(r"[A-Za-z0-9_:./\\-]{0,140}", fullmatch=True))
def test_any_name_is_taken_or_refused(name: str):
    """A name that is taken has legal characters only, wherever it is used."""
    if taken := taken_or_refused(lambda: check_plugin_name(name)):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", taken, re.ASCII)
    if is_pv_segment(name):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII)
    if prefix := taken_or_refused(lambda: check_prefix(name)):
        assert re.fullmatch(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*", prefix, re.ASCII)


@given(st.dictionaries(st.sampled_from(["beamline", "namespace", "x"]), structures))
def test_any_beamline_gives_a_prefix_or_is_refused(beamline: Any):
    """Whatever stands in the beamline file, the prefix is legal or there is a sentence."""
    prefix = taken_or_refused(lambda: site_prefix(None, beamline))
    assert prefix is None or check_prefix(prefix) == prefix


# --- sources

HOSTILE = st.text("ab:/@.-%\\?#[]~*^{}=~ \n\0\x1be\u202e\ud800hts0123", max_size=30)
urls = st.one_of(
    HOSTILE,
    st.text(max_size=40),
    st.builds("{}://{}/{}".format, st.sampled_from(["https", "ssh", "file", "http", "git", "ext"]), HOSTILE, HOSTILE),
    st.builds("{}@{}:{}".format, HOSTILE, HOSTILE, HOSTILE),
)


@given(urls, HOSTILE, st.none() | HOSTILE, st.none() | HOSTILE)
def test_any_repository_is_taken_or_refused(url: str, path: str, branch: str | None, commit: str | None):
    """What is taken is https, ssh or a file, is no option, and its path and revision stay inside."""
    try:
        check_source(GitSource(url, path, branch, commit))
    except PluginRejected as error:
        refused_well(error)
        return
    assert is_ssh_url(url) or is_file_url(url) or url.startswith("https://")
    assert not any(text.startswith("-") for text in (url, path, branch or "", commit or ""))
    assert ".." not in path.split("/")
    assert re.fullmatch(r"[0-9a-f]{7,64}", commit or "0123456")
    taken_or_refused(lambda: check_allowed(url, ["https://git.example.org/*"]))


@given(st.text(max_size=60), HOSTILE)
def test_any_directory_is_taken_or_refused(directory: str, path: str):
    """A directory and a path below it are a source or not, and that is all."""
    taken_or_refused(lambda: check_source(LocalSource(directory, path)))


# --- requirements.txt

requirement_lines = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "-r", "-c", "--requirement", "-f", "--find-links", "--index-url", "x @ ", "-e", "six"]),
        st.sampled_from(["", " ", "=", "\t", "\\\n", "\f", " = "]),
        st.sampled_from(["", "file://", "git+https://", "git+file://", "git+ssh://", "~", "./", "FILE:", "file:"]),
        st.sampled_from(["/etc/passwd", "../x", "a/../../x.whl", "%2e%2e/x", "/x.whl", "x", "${HOME}", "h/x@y#z"]),
    ),
)


@hypothesis_settings(max_examples=30)
@given(st.lists(requirement_lines, max_size=4).map("\n".join))
def test_any_requirements_are_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str):
    """What is taken names nothing of this machine outside of the plugin's directory."""
    root = tmp_path_factory.getbasetemp() / "requirements"
    root.mkdir(exist_ok=True)
    with contextlib.suppress(UnicodeEncodeError):
        (root / "requirements.txt").write_bytes(text.encode())
    settings = Settings(plugins_dir=root, local_roots=(root / "roots",))
    for line in taken_or_refused(lambda: read_lines(root / "requirements.txt", settings)) or []:
        assert "\n" not in line.text
        assert not re.search(r"(^|[\s=@]|file:(//)?)/etc/passwd", line.text, re.IGNORECASE)
        assert not re.search(r"(^|[/\s=])\.\.(/|$)", line.text) or "://" in line.text
        assert not line.text.startswith(("-r", "-c", "-e", "--requirement"))


# --- schedules


@given(st.text("0123456789*/,-LW#@ MON", max_size=40) | st.text(max_size=30))
def test_any_cron_expression_is_taken_or_refused(text: str):
    """An expression that is taken names a next moment, or none, without an error."""
    taken = or_value_error(lambda: check_cron(text))
    if taken is None:
        return
    after = datetime(2026, 1, 1, tzinfo=UTC)
    moment = Schedule(taken).next_run(after)
    assert moment is None or moment > after


@given(st.text(max_size=40) | st.text("Europ/Rome.\0~-", max_size=20))
def test_any_time_zone_is_taken_or_refused(name: str):
    """A name that is taken has a clock."""
    taken = or_value_error(lambda: check_timezone(name))
    assert taken is None or Schedule("@daily", taken).next_run(datetime(2026, 1, 1, tzinfo=UTC))


# --- bodies


@pytest.mark.parametrize("model", [PluginRequest, PluginChange, RunRequest])
@given(
    data=st.data(),
    more=st.dictionaries(keys, structures.filter(lambda value: not isinstance(value, bytes)), max_size=3),
)
def test_any_body_is_taken_or_refused(model: Any, data: st.DataObject, more: Any):
    """A body is a request or a list of mistakes; a request has a source and a desired state."""
    body = data.draw(st.dictionaries(st.sampled_from(sorted(model.model_fields)), structures, max_size=6)) | more
    request = None
    with contextlib.suppress(ValidationError):
        request = model.model_validate_json(json.dumps(body, default=str))
    if isinstance(request, PluginRequest):
        assert request.spec(None).name == request.name
        taken_or_refused(lambda: check_source(request.source))


# --- settings


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
@hypothesis_settings(max_examples=10)
@given(
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["true", "null", "[]", "{}", "~", "/", ".", "a:b", "~nobody-at-all/x", "https://x/*", "0", "-1"])
)
def test_any_setting_is_taken_or_refused(name: str, value: str):
    """A variable of the environment makes settings, or a sentence that names the setting."""
    with mock.patch.dict(os.environ, {f"IOCMNG_{name.upper()}": value}):
        taken = taken_or_refused(load_settings)
    assert taken is None or isinstance(taken.state, Path)


@given(configs | structures)
def test_any_file_of_settings_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, value: Any):
    """The same of a file."""
    file = tmp_path_factory.getbasetemp() / "settings.yaml"
    file.write_text(dumped(value), encoding="utf-8")
    taken_or_refused(lambda: load_settings(file))
