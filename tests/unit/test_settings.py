"""The settings: where they come from, what they default to, and what a bad one says."""

import pickle
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from iocmng.errors import InvalidRequest
from iocmng.settings import Settings, default_plugins_dir, load_settings, read_yaml
from iocmng.settings import values as settings_module


@pytest.fixture(autouse=True)
def clean_place(monkeypatch, tmp_path):
    """Run each test in an empty directory, without settings in the environment, with a home of its own."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path):
    """Return a function that writes the settings file and returns its path."""

    def write(**content):
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file

    return write


def refused(**flags):
    with pytest.raises(InvalidRequest) as caught:
        load_settings(**flags)
    return caught.value.message


# --- defaults


def test_defaults_are_those_of_the_contract():
    """Section 7 of the contract, value by value."""
    settings = load_settings()
    assert (settings.prefix, settings.beamline_config, settings.plugins_config) == (None, None, None)
    assert (settings.port, settings.log_level, settings.token) == (8080, "info", None)
    assert (settings.disable_ophyd, settings.pva, settings.allow_unauthenticated) == (True, True, False)
    assert settings.state == settings.plugins_dir / ".iocmng"
    assert settings.ray_address is None


def test_what_kubernetes_says_of_a_service_of_our_name_is_no_port(monkeypatch):
    """A Service named iocmng sets IOCMNG_PORT in pods: the error says where it comes from, and what to do."""
    monkeypatch.setenv("IOCMNG_PORT", "tcp://10.96.0.7:8080")
    assert "Service named iocmng; set `enableServiceLinks: false`" in refused()


@pytest.mark.parametrize(
    ("flags", "host", "loopback"),
    [
        ({}, "127.0.0.1", True),
        ({"token": ""}, "127.0.0.1", True),
        ({"token": "hunter2"}, "0.0.0.0", False),
        ({"allow_unauthenticated": True}, "0.0.0.0", False),
        ({"tokens_file": "tokens.yaml"}, "0.0.0.0", False),
        ({"oidc_issuer": "https://id.example.org", "oidc_audience": "a", "oidc_roles": "a=admin"}, "0.0.0.0", False),
        ({"host": "0.0.0.0"}, "0.0.0.0", False),
        ({"host": "127.0.0.1", "token": "hunter2"}, "127.0.0.1", True),
        ({"host": "localhost"}, "localhost", True),
        ({"host": "::1"}, "::1", True),
        ({"host": "192.168.1.5"}, "192.168.1.5", False),
    ],
)
def test_without_a_token_only_this_machine_is_listened_to(flags, host, loopback):
    """0.0.0.0 with a token or where the site says so, else loopback; what is given wins."""
    settings = load_settings(**flags)
    assert (settings.host, settings.is_loopback) == (host, loopback)


@pytest.mark.parametrize("variable", ["IOCMNG_TOKEN", "IOCMNG_ALLOW_UNAUTHENTICATED"])
def test_the_environment_opens_the_server_too(monkeypatch, variable):
    """The same rule for values from the environment; an empty one says nothing."""
    monkeypatch.setenv(variable, "")
    assert load_settings().host == "127.0.0.1"
    monkeypatch.setenv(variable, "true")
    assert load_settings().host == "0.0.0.0"


def test_plugins_are_kept_in_the_container_where_that_can_be_written(monkeypatch, tmp_path):
    """/data/plugins where it exists and can be written to, else a directory of the user."""
    container = tmp_path / "data"
    monkeypatch.setattr(settings_module, "CONTAINER_PLUGINS_DIR", container)
    home = tmp_path / "home" / ".local" / "share" / "iocmng" / "plugins"
    assert default_plugins_dir() == home
    container.mkdir()
    assert default_plugins_dir() == container
    assert load_settings().plugins_dir == container
    monkeypatch.setattr(settings_module.os, "access", lambda path, mode: False)
    assert default_plugins_dir() == home
    assert load_settings().state == home / ".iocmng"


def test_the_container_directory_is_the_documented_one():
    """Images and volumes rely on it."""
    assert Path("/data/plugins") == settings_module.CONTAINER_PLUGINS_DIR


def test_local_roots_are_the_working_directory_and_the_plugins_directory(tmp_path):
    """Unless they are given."""
    assert load_settings(plugins_dir=Path("mine")).roots == (tmp_path, tmp_path / "mine")


# --- sources


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch, config):
    """The first source that has a value wins, for each setting on its own."""
    file = config(port=1, prefix="FILE", log_level="debug", pva=False)
    monkeypatch.setenv("IOCMNG_PREFIX", "ENV")
    monkeypatch.setenv("IOCMNG_LOG_LEVEL", "error")
    settings = load_settings(file, log_level="warning", pva=True)
    assert (settings.log_level, settings.prefix, settings.port, settings.pva) == ("warning", "ENV", 1, True)
    assert load_settings(file).pva is False


def test_the_file_is_named_by_the_environment_or_by_a_flag(monkeypatch, config, tmp_path):
    """IOCMNG_CONFIG, unless a flag names another file."""
    monkeypatch.setenv("IOCMNG_CONFIG", str(config(port=1)))
    assert load_settings().port == 1
    other = tmp_path / "other.yaml"
    other.write_text("port: 2\n")
    assert load_settings(other).port == 2


def test_an_empty_variable_says_nothing(monkeypatch, config):
    """It neither hides the file nor counts as a value."""
    monkeypatch.setenv("IOCMNG_PORT", "")
    monkeypatch.setenv("IOCMNG_PREFIX", "")
    monkeypatch.setenv("IOCMNG_CONFIG", "")
    assert load_settings(config(port=7)).port == 7
    assert (load_settings().port, load_settings().prefix) == (8080, None)


def test_a_flag_that_was_not_given_says_nothing(monkeypatch):
    """None is the value of an absent flag; False and 0 are values."""
    monkeypatch.setenv("IOCMNG_PVA", "true")
    monkeypatch.setenv("IOCMNG_PORT", "9000")
    settings = load_settings(port=None, pva=False)
    assert (settings.port, settings.pva) == (9000, False)


def test_an_empty_file_is_no_mistake(tmp_path):
    """All settings are optional."""
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_settings(tmp_path / "empty.yaml").port == 8080


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("IOCMNG_PREFIX", "LAB:TEST", "prefix", "LAB:TEST"),
        ("IOCMNG_PORT", "9000", "port", 9000),
        ("IOCMNG_DISABLE_OPHYD", "false", "disable_ophyd", False),
        ("IOCMNG_PVA", "0", "pva", False),
        ("IOCMNG_LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("IOCMNG_ALLOW_UNAUTHENTICATED", "true", "allow_unauthenticated", True),
        ("IOCMNG_HOST", "::1", "host", "::1"),
        ("IOCMNG_PLUGINS_DIR", "/srv/p", "plugins_dir", Path("/srv/p")),
        ("IOCMNG_STATE_DIR", "/srv/s", "state_dir", Path("/srv/s")),
        ("IOCMNG_BEAMLINE_CONFIG", "/srv/values.yaml", "beamline_config", Path("/srv/values.yaml")),
        ("IOCMNG_PLUGINS_CONFIG", "/srv/plugins.yaml", "plugins_config", Path("/srv/plugins.yaml")),
    ],
)
def test_every_variable_of_the_contract_is_read(monkeypatch, variable, text, name, value):
    """Under its documented name."""
    monkeypatch.setenv(variable, text)
    assert getattr(load_settings(), name) == value


def test_every_setting_has_its_explanation():
    """The docstrings of the fields are the documentation."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_ray_address_falls_back_to_rays_own_variable(monkeypatch):
    """RAY_ADDRESS where nothing else is said."""
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert load_settings().ray_address == "head:6379"
    assert load_settings(ray_address="other:6379").ray_address == "other:6379"


# --- paths


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    """All processes mean the same place, wherever they run."""
    monkeypatch.setenv("IOCMNG_LOCAL_ROOTS", "a:./b")
    settings = load_settings(
        plugins_dir="plugins", state_dir="state", beamline_config="values.yaml", plugins_config="conf/plugins.yaml"
    )
    assert settings.plugins_dir == tmp_path / "plugins"
    assert settings.state == tmp_path / "state"
    assert settings.beamline_config == tmp_path / "values.yaml"
    assert settings.plugins_config == tmp_path / "conf" / "plugins.yaml"
    assert settings.roots == (tmp_path / "a", tmp_path / "b")


def test_a_tilde_is_the_home_directory(tmp_path):
    """In every path."""
    settings = load_settings(plugins_dir="~/p", beamline_config="~/v.yaml", local_roots="~/r")
    home = tmp_path / "home"
    assert (settings.plugins_dir, settings.beamline_config) == (home / "p", home / "v.yaml")
    assert settings.roots == (home / "r",)


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        ("/a", ("/a",)),
        ("/a:/b", ("/a", "/b")),
        ("/a::/b:", ("/a", "/b")),
        ("/with blank:/b,c", ("/with blank", "/b,c")),
    ],
)
def test_local_roots_are_joined_by_colons(monkeypatch, config, text, roots):
    """In the environment, as a flag, and in the file, where a list is possible too."""
    expected = tuple(map(Path, roots))
    assert load_settings(local_roots=text).roots == expected
    assert load_settings(config(local_roots=text)).roots == expected
    assert load_settings(config(local_roots=list(roots))).roots == expected
    monkeypatch.setenv("IOCMNG_LOCAL_ROOTS", text)
    assert load_settings().roots == expected


def test_local_roots_are_real_directories(tmp_path):
    """Links are followed once, so that comparing paths means something."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert load_settings(local_roots="link:real/../real").roots == (tmp_path / "real", tmp_path / "real")


# --- mistakes


def test_unknown_keys_of_the_file_are_refused_by_name(config):
    """A misspelt setting would otherwise be ignored silently."""
    assert "prot" in refused(config=config(prot=8080, port=8080))


@pytest.mark.parametrize("content", ["1: 2\n", "null: 2\n", "true: 2\n"])
def test_keys_that_are_no_text_are_refused(tmp_path, content):
    """With a sentence, not with a TypeError."""
    (tmp_path / "odd.yaml").write_text(content)
    assert "settings do not fit" in refused(config=tmp_path / "odd.yaml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("port", "eighty"),
        ("log_level", "loud"),
        ("pva", "perhaps"),
        ("disable_ophyd", 7),
        ("max_body_bytes", 10),
        ("api_replicas", 0),
        ("warm_processes", -1),
        ("plugin_cpus", -0.1),
        ("fetch_timeout", 0),
        ("stop_timeout", -1),
        ("import_timeout", "soon"),
        ("serve_proxy", "nginx"),
        ("local_roots", 5),
        ("plugins_dir", 5),
        ("token", ["hunter2"]),
        ("prefix", "A B"),
        ("prefix", "A::B"),
    ],
)
def test_a_bad_value_names_its_setting(config, name, value):
    """Whether it is a flag or stands in the file, and without showing a token."""
    for message in (refused(**{name: value}), refused(config=config(**{name: value}))):
        assert name in message
        assert "hunter2" not in message


def test_a_bad_variable_names_its_setting(monkeypatch):
    """The environment is no different."""
    monkeypatch.setenv("IOCMNG_PORT", "eighty")
    assert "port" in refused()


def test_all_bad_values_are_told_at_once(config):
    """Nobody should have to start the server three times to find three mistakes."""
    message = refused(config=config(port=0, log_level="loud", prot=1))
    assert all(name in message for name in ("port", "log_level", "prot"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("- a\n", "must hold a mapping, not a list"),
        ("text\n", "must hold a mapping, not a str"),
        ("a: [1\n", "is no valid YAML"),
        ("a: 2026-02-31\n", "is no valid YAML"),
        ("a: !!python/object:os.system {}\n", "is no valid YAML"),
        ("a: \x00", "is no valid YAML"),
    ],
)
def test_a_file_that_is_no_settings_file_is_named(tmp_path, content, sentence):
    """The path stands in the message."""
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    message = refused(config=file)
    assert str(file) in message
    assert sentence in message


def test_files_that_cannot_be_read_are_named(tmp_path):
    """Missing, a directory, or not UTF-8."""
    assert "cannot read" in refused(config=tmp_path / "missing.yaml")
    assert "cannot read" in refused(config=tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    assert "is no valid YAML" in refused(config=tmp_path / "latin.yaml")


# --- the object


def test_settings_cannot_be_changed():
    """One frozen object, built once."""
    with pytest.raises(ValidationError):
        load_settings().port = 1


def test_settings_cross_process_borders(tmp_path):
    """The same on the other side, also where another directory is the working one."""
    settings = load_settings(token="hunter2", plugins_dir="p")
    arrived = pickle.loads(pickle.dumps(settings))
    assert arrived == settings
    assert arrived.token.get_secret_value() == "hunter2"
    assert (arrived.state, arrived.host) == (tmp_path / "p" / ".iocmng", "0.0.0.0")


def test_the_token_is_shown_nowhere():
    """Neither repr, str nor dumps show it, nor does the error of another setting."""
    settings = load_settings(token="hunter2")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert "hunter2" not in refused(token="hunter2", port=0)
    with pytest.raises(ValidationError) as caught:
        Settings(token=["hunter2"])
    assert "hunter2" not in str(caught.value)


def test_the_beamline_file_is_read_when_it_is_asked_for(tmp_path):
    """Nothing where none is set; its mapping where one is; a clear error where it cannot be read."""
    assert load_settings().beamline() == {}
    values = tmp_path / "values.yaml"
    values.write_text("beamline: sparc\nnamespace: vac\niocs: []\n")
    assert load_settings(beamline_config=values).beamline() == {"beamline": "sparc", "namespace": "vac", "iocs": []}
    with pytest.raises(InvalidRequest, match=r"missing\.yaml"):
        load_settings(beamline_config="missing.yaml").beamline()


def test_read_yaml_returns_nothing_for_an_empty_file(tmp_path):
    """A file that was just made."""
    (tmp_path / "empty.yaml").touch()
    assert read_yaml(tmp_path / "empty.yaml") == {}


def test_processes_that_take_no_calls_do_not_know_who_may_call(tmp_path):
    """The Controller and the plugins get no token, no path of the file of tokens, and no issuer; the rest stays."""
    oidc = {"oidc_issuer": "https://id.example.org", "oidc_audience": "a", "oidc_roles": "a=admin"}
    settings = load_settings(token="hunter2", tokens_file=tmp_path / "t.yaml", state_key="key", port=9000, **oidc)
    for copy in (settings.without_callers(), settings.without_secrets()):
        assert not copy.asks_who
        assert (copy.oidc_audience, copy.oidc_roles, copy.port) == (None, {}, 9000)
    assert settings.without_callers().state_key is not None
    assert settings.without_secrets().state_key is None
    assert "hunter2" not in repr(settings)


def test_the_path_of_the_tokens_file_is_made_absolute(tmp_path):
    """All replicas mean the same file, wherever they run."""
    assert load_settings(tokens_file="tokens.yaml").tokens_file == tmp_path / "tokens.yaml"
