"""What release 2.7 has left in its plugins directory is taken over once, and its files stay as they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from store_support import PAT, OpenStore, entry, names

from iocmng.core.source import GitSource, LocalSource
from iocmng.errors import InvalidRequest
from iocmng.settings import Settings
from iocmng.store import SqlStateStore, import_legacy_once, read_legacy
from iocmng.store.legacy import NOTE


@pytest.fixture
def plugins_dir(settings: Settings) -> Path:
    settings.plugins_dir.mkdir(exist_ok=True)
    return settings.plugins_dir


def registered(name: str, **changes: Any) -> dict[str, Any]:
    """Return an entry as release 2.7.9 wrote it into autostart_plugins.yaml."""
    return {
        "name": name,
        "git_url": f"https://git.example.org/{name}.git",
        "local_path": None,
        "path": "",
        "branch": "main",
        "pat": None,
        "auto_start": True,
        "auto_start_on_boot": True,
        "autostart_order": None,
        "parameters": {},
    } | changes


def staged(plugins_dir: Path, name: str, **changes: Any) -> Path:
    """Write NAME/.iocmng-plugin.json as release 2.7.9 did."""
    metadata = {
        "auto_start": True,
        "auto_start_on_boot": False,
        "autostart_order": None,
        "branch": "main",
        "class_name": "Monitor",
        "git_url": f"https://git.example.org/{name}.git",
        "local_path": None,
        "name": name,
        "plugin_type": "task",
        "source_path": "src/monitor",
    } | changes
    (plugins_dir / name).mkdir()
    file = plugins_dir / name / ".iocmng-plugin.json"
    file.write_text(json.dumps(metadata, indent=2, sort_keys=True))
    return file


def registry(plugins_dir: Path, *entries: Any) -> Path:
    file = plugins_dir / "autostart_plugins.yaml"
    file.write_text(yaml.safe_dump({"plugins": list(entries)}, sort_keys=False))
    return file


def _contents(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file() and ".iocmng" not in path.parts)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_started_with_the_server_runs_again(store: SqlStateStore, settings: Settings, plugins_dir: Path):
    """With its parameters, its order and its PAT, which is encrypted from now on."""
    registry(
        plugins_dir,
        registered("alpha", pat=PAT, branch="v2", path="src", autostart_order=3, parameters={"rate": 2.5}),
        registered("beta", git_url="", local_path="/opt/plugins", path="beta", parameters=None),
    )
    before = _contents(plugins_dir)

    sentences = import_legacy_once(store, settings)

    [alpha, beta] = [entry.spec for entry in store.load().entries]
    assert alpha.source == GitSource("https://git.example.org/alpha.git", "src", "v2", has_credential=True)
    assert (alpha.parameters, alpha.autostart_order, alpha.running, alpha.auto_start_on_boot) == (
        {"rate": 2.5},
        3,
        True,
        True,
    )
    assert beta.source == LocalSource("/opt/plugins", "beta")
    assert store.credential("alpha") == PAT
    assert store.credential("beta") is None
    assert _contents(plugins_dir) == before
    [advice] = sentences
    assert "delete the `pat` entries" in advice
    assert PAT not in advice


def test_what_was_only_staged_is_there_and_stopped(store: SqlStateStore, settings: Settings, plugins_dir: Path):
    """Release 2.7 listed it after a restart and did not run it; a job that was to start it forgot."""
    staged(plugins_dir, "alpha")
    staged(plugins_dir, "zeta", plugin_type="job", auto_start_on_boot=True)
    sentences = import_legacy_once(store, settings)
    found = {entry.spec.name: entry.spec for entry in store.load().entries}
    assert found["alpha"].source == GitSource("https://git.example.org/alpha.git", "src/monitor", "main")
    assert (found["alpha"].running, found["alpha"].auto_start_on_boot) == (False, False)
    assert (found["zeta"].running, found["zeta"].auto_start_on_boot) == (True, True)
    assert any("POST /plugins/alpha/start" in sentence for sentence in sentences)
    assert all("neither parameters nor pat" in sentence for sentence in sentences)


def test_the_short_form_for_a_local_directory(plugins_dir: Path):
    """A staged directory whose add was cut short has three keys."""
    (plugins_dir / "alpha").mkdir()
    metadata = {"local_path": "/opt/p", "name": "__reload__alpha", "source_path": ""}
    (plugins_dir / "alpha" / ".iocmng-plugin.json").write_text(json.dumps(metadata))
    [request], _ = read_legacy(plugins_dir)
    assert (request.name, request.source) == ("alpha", LocalSource("/opt/p"))


def test_the_registry_wins_and_takes_a_missing_source_from_the_staged_plugin(plugins_dir: Path):
    """The dashboard's deploy sent git_url ''."""
    registry(
        plugins_dir,
        registered("alpha", branch="v2"),
        registered("beta", git_url="", branch="", parameters={"a": 1}),
        registered("gamma", git_url=""),
    )
    staged(plugins_dir, "alpha")
    staged(plugins_dir, "beta", branch="v3")
    requests, sentences = read_legacy(plugins_dir)
    found = {request.name: request for request in requests}
    assert found.keys() == {"alpha", "beta"}
    assert found["alpha"].source == GitSource("https://git.example.org/alpha.git", "", "v2")
    assert found["beta"].source == GitSource("https://git.example.org/beta.git", "src/monitor", "v3")
    assert found["beta"].parameters == {"a": 1}
    assert found["beta"].auto_start
    [sentence] = sentences
    assert "gamma" in sentence
    assert "git_url or local_path" in sentence


def test_it_is_done_once(store: SqlStateStore, settings: Settings, plugins_dir: Path):
    """What is removed afterwards does not come back with the next start."""
    registry(plugins_dir, registered("alpha"))
    assert import_legacy_once(store, settings) == []
    assert names(store) == ["alpha"]
    store.delete("alpha")
    assert import_legacy_once(store, settings) == []
    assert names(store) == []
    assert store.note(NOTE)


def test_where_there_is_nothing_nothing_is_noted(store: SqlStateStore, settings: Settings, plugins_dir: Path):
    """A volume that is mounted later is still taken over."""
    (plugins_dir / "some directory").mkdir()
    assert import_legacy_once(store, settings) == []
    assert store.note(NOTE) is None
    missing = settings.model_copy(update={"plugins_dir": plugins_dir / "missing"})
    assert import_legacy_once(store, missing) == []
    registry(plugins_dir, registered("alpha"))
    import_legacy_once(store, settings)
    assert names(store) == ["alpha"]


def test_a_name_that_is_there_already_is_left_alone(open_: OpenStore, settings: Settings, plugins_dir: Path):
    """Also what an import that was cut short has brought."""
    store = open_()
    store.save(entry("alpha"))
    registry(plugins_dir, registered("alpha", pat=PAT), registered("beta"))
    sentences = import_legacy_once(store, settings)
    assert store.load().entries[0] == entry("alpha")
    assert store.credential("alpha") is None
    assert names(store) == ["alpha", "beta"]
    assert any("alpha is there already" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (registered("no blanks"), "String should match pattern"),
        (registered("_private"), "String should match pattern"),
        (registered("plain", git_url="http://git.example.org/p"), "https, ssh"),
        (registered("up", path="../../etc"), "without '..'"),
        (registered("both", git_url=None), "git_url or local_path"),
        (registered("when", parameters={"since": __import__("datetime").date(2024, 1, 1)}), "no JSON value"),
        (registered("list", parameters=[1]), "dictionary"),
        (registered("number", pat=5), "pat"),
        ({"git_url": "https://git.example.org/p"}, "has no name"),
        ("text", "has no name"),
        (registered("alpha", branch="again"), "before it"),
    ],
)
def test_an_entry_that_does_not_fit_is_told_and_stops_no_other(plugins_dir: Path, bad: Any, words: str):
    registry(plugins_dir, registered("alpha"), bad, registered("omega"))
    requests, sentences = read_legacy(plugins_dir)
    assert [request.name for request in requests] == ["alpha", "omega"]
    assert any(words in sentence and "was left out" in sentence for sentence in sentences), sentences
    assert requests[0].branch == "main"


def test_keys_that_are_not_known_are_told_and_left_out(plugins_dir: Path):
    registry(plugins_dir, registered("alpha", colour="blue", autostart_order="soon"))
    staged(plugins_dir, "beta", shape="round")
    requests, sentences = read_legacy(plugins_dir)
    assert [request.name for request in requests] == ["alpha", "beta"]
    assert requests[0].autostart_order is None
    text = "\n".join(sentences)
    for words in ("colour was left out", "shape was left out", "autostart_order was left out"):
        assert words in text


def test_an_order_given_as_text_is_a_number(plugins_dir: Path):
    registry(plugins_dir, registered("alpha", autostart_order="7"))
    assert read_legacy(plugins_dir)[0][0].autostart_order == 7


@pytest.mark.parametrize("user", [f"{PAT}@", f"somebody:{PAT}@", f"oauth2:{PAT}@"])
def test_a_credential_in_the_url_is_kept_encrypted(
    store: SqlStateStore, settings: Settings, plugins_dir: Path, user: str
):
    """Our own sources refuse it, because a URL is shown; here it is moved to where it belongs."""
    registry(plugins_dir, registered("alpha", git_url=f"https://{user}git.example.org:8443/p.git"))
    sentences = import_legacy_once(store, settings)
    [found] = store.load().entries
    assert found.spec.source == GitSource("https://git.example.org:8443/p.git", branch="main", has_credential=True)
    assert store.credential("alpha") == PAT
    assert any("credential in git_url" in sentence for sentence in sentences)
    assert PAT not in "".join(sentences)


@pytest.mark.parametrize(
    "text",
    [
        f"plugins:\n- name: alpha\n  pat: {PAT}: {PAT}\n",
        f"plugins:\n  pat: {PAT}\n",
        f"pat: [{PAT}",
        "plugins: \xff".encode("latin-1"),
        "[" * 5000,
    ],
)
def test_a_registry_that_cannot_be_read_imports_nothing_and_is_tried_again(
    store: SqlStateStore, settings: Settings, plugins_dir: Path, text: str | bytes
):
    """Half an import could not be told from a whole one later. The line at fault is not shown: it may hold a PAT."""
    file = plugins_dir / "autostart_plugins.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    staged(plugins_dir, "beta")
    with pytest.raises(InvalidRequest) as caught:
        read_legacy(plugins_dir)
    assert PAT not in caught.value.message
    [sentence] = import_legacy_once(store, settings)
    assert str(file) in sentence
    assert PAT not in sentence
    assert names(store) == []
    registry(plugins_dir, registered("alpha"))
    import_legacy_once(store, settings)
    assert names(store) == ["alpha", "beta"]


def test_damaged_metadata_loses_only_its_plugin(plugins_dir: Path):
    staged(plugins_dir, "alpha")
    for name, text in {"beta": "{", "gamma": "[]", "delta": ""}.items():
        staged(plugins_dir, name).write_text(text)
    requests, sentences = read_legacy(plugins_dir)
    assert [request.name for request in requests] == ["alpha"]
    for name in ("beta", "gamma", "delta"):
        assert any(f"{name}/.iocmng-plugin.json" in sentence and "left out" in sentence for sentence in sentences)


def test_directories_that_are_no_plugins_are_passed_by(plugins_dir: Path):
    """A restart that was cut short left __reload__NAME; .iocmng is ours."""
    staged(plugins_dir, "__reload__alpha")
    staged(plugins_dir, ".hidden")
    (plugins_dir / "plain").mkdir()
    (plugins_dir / "file").touch()
    assert read_legacy(plugins_dir) == ([], [])


def test_an_empty_registry_is_no_error(plugins_dir: Path):
    (plugins_dir / "autostart_plugins.yaml").write_text("")
    assert read_legacy(plugins_dir) == ([], [])
    registry(plugins_dir)
    assert read_legacy(plugins_dir) == ([], [])


def test_both_sources_the_directory_wins(plugins_dir: Path):
    """As in release 2.7."""
    registry(plugins_dir, registered("alpha", local_path="/opt/p", pat=PAT))
    [request], sentences = read_legacy(plugins_dir)
    assert request.source == LocalSource("/opt/p")
    assert any("git_url was left out" in sentence for sentence in sentences)
