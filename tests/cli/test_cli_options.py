"""Exit statuses, options and what is printed where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_api import SUCCESS, Command, ServedApi, result_object
from support import free_port

from iocmng.cli.main import _run
from iocmng.cli.parameters import parse_parameters
from iocmng.errors import InvalidRequest


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["list"], "plugins"),
        (["list", "--type", "task"], "plugins?type=task"),
        (["get", "scan"], "plugins/scan"),
        (["pvs"], "pvs"),
        (["pvs", "--name-servers"], "pvs/name-servers"),
        (["health"], "health"),
        (["logs", "scan"], "plugins/scan/logs"),
        (["events"], "events?stream=false"),
        (["generations", "scan"], "plugins/scan/generations"),
    ],
)
def test_json_is_the_apis_own_object(api: ServedApi, iocmng: Command, arguments: list[str], path: str) -> None:
    """--json prints what a GET gives, all of it, and nothing else."""
    status, out, err = iocmng(*arguments, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == httpx.get(f"{api.url}/api/v1/{path}").json()


@pytest.mark.parametrize("command", ["logs", "events"])
def test_an_error_is_one_line_where_objects_are(api: ServedApi, iocmng: Command, command: str) -> None:
    """What follows with --json prints an object on each line, a problem document too."""
    status, out, _ = iocmng(command, "nobody", "-f", "--json")
    assert status == 1
    assert json.loads(out)["status"] == 404
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["get"],
        ["get", "a", "b"],
        ["list", "--type", "pump"],
        ["add", "x"],
        ["add", "x", "--git-url", "a", "--local-path", "b"],
        ["add", "x", "--git-url", "a", "--param", "novalue"],
        ["add", "x", "--git-url", "a", "--pat-file", "/none"],
        ["logs", "monitor", "--tail", "0"],
        ["rollback", "monitor", "--generation", "0"],
        ["job", "show", "scan", "first"],
        ["apply"],
        ["list", "--url", "localhost:8080"],
        ["list", "--url", "http://[bad"],
        ["list", "--url", "ftp://x"],
        ["list", "--token-file", "/none"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(api: ServedApi, iocmng: Command, arguments: list[str]) -> None:
    """It is told on stderr, nothing is printed on stdout and nothing is asked of the Controller."""
    status, out, err = iocmng(*arguments)
    assert (status, out) == (2, "")
    assert err
    assert api.controller.calls == []


@pytest.mark.parametrize(
    "arguments", [["list"], ["add", "x", "--git-url", "a"], ["job", "run", "x"], ["logs", "x", "-f"]]
)
def test_no_server_is_status_3(iocmng: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """One sentence with the address; with --json stdout stays empty."""
    monkeypatch.setenv("IOCMNG_URL", f"http://127.0.0.1:{free_port()}")
    for options in ([], ["--json"]):
        status, out, err = iocmng(*arguments, *options)
        assert (status, out, err.count("\n")) == (3, "", 1)
        assert os.environ["IOCMNG_URL"] in err


def test_the_url_option_wins_over_the_environment(
    api: ServedApi, iocmng: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--url names another server than IOCMNG_URL."""
    monkeypatch.setenv("IOCMNG_URL", "http://127.0.0.1:1")
    assert iocmng("health", "--url", api.url)[0] == 0


def test_parameters_arrive_as_they_are_meant(api: ServedApi, iocmng: Command) -> None:
    """Numbers, lists and nesting are what they look like, for an add and for a run."""
    given = ["--param", "x=1", "--param", "name=abc", "--param", "a.b=[1, 2]"]
    assert iocmng("add", "pump", "--git-url", "https://git.example.org/x.git", *given)[0] == 0
    assert api.controller.calls[-1][1].parameters == {"x": 1, "name": "abc", "a": {"b": [1, 2]}}
    api.runs.script = [SUCCESS | {"result": result_object()}]
    assert iocmng("job", "run", "scan", *given, "--timeout", "2.5")[0] == 0
    assert api.runs.bodies == [
        {"wait": "false", "parameters": {"x": 1, "name": "abc", "a": {"b": [1, 2]}}, "timeout": 2.5}
    ]


def test_an_ssh_key_and_the_wish_for_a_signature_arrive(api: ServedApi, iocmng: Command, tmp_path: Path) -> None:
    """The key is read from a file, because everyone on the machine can read arguments; it is not printed."""
    (tmp_path / "key").write_text("-----BEGIN KEY-----\nhunter2\n")
    given = ["--git-url", "ssh://git@git.example.org/x.git", "--ssh-key-file", str(tmp_path / "key")]
    status, out, err = iocmng("add", "pump", *given, "--require-signed")
    assert status == 0, err
    body = api.controller.calls[-1][1]
    assert "hunter2" in body.credential
    assert body.require_signed
    assert "hunter2" not in out + err
    status, _, err = iocmng("add", "pump2", *given[:3], str(tmp_path / "none"))
    assert status == 2
    assert "private key" in err


def test_runs_are_listed_page_by_page_or_all(api: ServedApi, iocmng: Command) -> None:
    """--limit and --before make pages, a note tells that there are older runs, and --all leaves none out."""
    for _ in range(3):
        assert iocmng("job", "run", "scan", "--no-wait")[0] == 0

    def listed(*arguments: str) -> tuple[list[str], str]:
        status, out, err = iocmng("job", "runs", "scan", *arguments)
        assert status == 0
        return [line.split()[0] for line in out.splitlines()[1:]], err

    assert listed() == (["9", "8", "7"], "")
    numbers, note = listed("--limit", "2")
    assert numbers == ["9", "8"]
    assert "older ones: --before 8, or --all" in note
    assert listed("--limit", "2", "--before", "8") == (["7"], "")
    assert listed("--limit", "1", "--all") == (["9", "8", "7"], "")
    told = json.loads(iocmng("job", "runs", "scan", "--limit", "1", "--all", "--json")[1])
    assert ([run["run_id"] for run in told["runs"]], told["count"], told["next"]) == ([9, 8, 7], 3, None)
    assert iocmng("job", "runs", "scan", "--limit", "0")[0] == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("1e-3", 0.001),
        ("true", True),
        ("null", None),
        ("", ""),
        ("abc", "abc"),
        ("a: b", "a: b"),
        ("a=b", "a=b"),
        ("@home", "@home"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ('"1"', "1"),
        ("[1, two]", [1, "two"]),
        ('{"a": [true]}', {"a": [True]}),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    """As in config.yaml; times of day and dates are text, because JSON has none."""
    parsed = parse_parameters([f"x={text}"])["x"]
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["x"], "NAME=VALUE"),
        (["=1"], "NAME=VALUE"),
        (["a..b=1"], "NAME=VALUE"),
        (["x=1", "x=2"], "x is given twice"),
        (["a=1", "a.b=2"], "a has a value of its own already"),
        (["a.b=2", "a=1"], "a is given twice"),
        (["x=[1"], "--param x: no valid YAML"),
        (["x=.nan"], "x is nan: JSON has no such number"),
        (["x={1: 2}"], "not text"),
        ([f"x={'9' * 2000}"], "too large"),
    ],
)
def test_a_parameter_that_cannot_be_meant(options: list[str], words: str) -> None:
    """It is refused with its name."""
    with pytest.raises(InvalidRequest, match=words.replace("[", r"\[")):
        parse_parameters(options)


def test_a_pat_comes_from_a_file_or_the_environment(
    api: ServedApi, iocmng: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No option takes the PAT itself; a local path gets none."""
    file = tmp_path / "pat"
    file.write_text("from-file\n")
    source = ["--git-url", "https://git.example.org/x.git"]

    def sent(*arguments: str) -> str | None:
        assert iocmng("add", *arguments)[0] == 0
        pat = api.controller.calls[-1][1].pat
        return pat.get_secret_value() if pat else None

    assert sent("one", *source, "--pat-file", str(file)) == "from-file"
    monkeypatch.setenv("IOCMNG_PAT", "from-environment")
    assert sent("two", *source) == "from-environment"
    assert sent("three", *source, "--pat-file", str(file)) == "from-file"
    assert sent("four", "--local-path", "/x") is None
    assert "--pat " not in iocmng("add", "--help")[1]


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, iocmng: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with a token refuses changes without it, with status 1 and its sentence."""
    from api_fakes import FakeController, plugin_object
    from served_api import served

    (tmp_path / "token").write_text("secret\n")
    with served(FakeController(plugin_object("monitor")), token="secret") as api:
        monkeypatch.setenv("IOCMNG_URL", api.url)
        status, _, err = iocmng("restart", "monitor")
        assert (status, "token" in err) == (1, True)
        assert iocmng("restart", "monitor", "--token-file", str(tmp_path / "token"))[0] == 0
        monkeypatch.setenv("IOCMNG_TOKEN", "secret")
        assert iocmng("restart", "monitor")[0] == 0


def test_a_directory_that_is_here_too_is_named_by_its_whole_path(
    api: ServedApi, iocmng: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's working directory is another; a path that only the server has is left as it is."""
    (tmp_path / "plugin").mkdir()
    monkeypatch.chdir(tmp_path)
    iocmng("add", "one", "--local-path", "plugin")
    assert api.controller.calls[-1][1].local_path == str(tmp_path / "plugin")
    iocmng("add", "two", "--local-path", "only/there")
    assert api.controller.calls[-1][1].local_path == "only/there"


def test_an_owner_can_be_named(
    api: ServedApi, iocmng: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is the file's path; in a Ray job with files of its own, a name that stays the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins.yaml").write_text("plugins: []\n")
    iocmng("apply", "-f", "plugins.yaml")
    assert api.controller.calls[-1][1] == str(tmp_path / "plugins.yaml")
    iocmng("apply", "-f", "plugins.yaml", "--owner", "lab")
    assert api.controller.calls[-1][1] == "lab"
    config = {"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}, "metadata": {}}
    directory = tmp_path / "working_dir_files" / "_ray_pkg_1" / "lab"
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    (directory / "plugins.yaml").write_text("plugins: []\n")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(config))
    iocmng("apply", "-f", "plugins.yaml", "--url", api.url)
    assert api.controller.calls[-1][1] == "ray-job/lab/plugins.yaml"
    iocmng("apply", "-f", str(tmp_path / "plugins.yaml"))
    assert api.controller.calls[-1][1] == str(tmp_path / "plugins.yaml")


def test_a_mistake_of_our_own_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Its kind and its place are enough for a report."""
    with pytest.raises(SystemExit) as end:
        _run(lambda: {}["missing"])
    assert end.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("iocmng: this is a mistake of iocmng itself, please report it: KeyError: ")
    assert "test_cli_options.py, line" in err


@pytest.mark.parametrize(
    "command", [["version"], ["version", "--json"], ["--help"], ["job", "--help"], ["run", "--help"]]
)
def test_small_commands_load_little(command: list[str]) -> None:
    """Neither Ray nor httpx nor EPICS."""
    code = (
        "import sys, atexit\n"
        "heavy = {'ray', 'httpx', 'softioc', 'cothread', 'p4p', 'fastapi', 'uvicorn', 'git', 'sqlalchemy'}\n"
        "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['iocmng', *{command}]\n"
        "from iocmng.cli.main import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "loaded []\n")


def test_what_the_encoding_cannot_hold_is_replaced(api: ServedApi) -> None:
    """A terminal without UTF-8 gets question marks, JSON gets escapes, and neither gets a traceback."""
    api.controller.log_lines = ["80 °C"]
    environment = os.environ | {"IOCMNG_URL": api.url, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "iocmng", "logs", "monitor"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"80 ?C\n")
    done = subprocess.run([*command, "--json"], capture_output=True, env=environment, timeout=60, check=False)
    assert b'"80 \\u00b0C"' in done.stdout


def test_names_are_completed_while_the_server_answers(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins for most commands, jobs for `job`; without a server nothing, quickly and silently."""

    def completed(*words: str, url: str = api.url) -> str:
        environment = os.environ | {
            "IOCMNG_URL": url,
            "_IOCMNG_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["iocmng", *words]),
            "COMP_CWORD": str(len(words)),
        }
        command = [str(Path(sys.executable).with_name("iocmng"))]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20, check=False)
        assert done.stderr == ""
        return done.stdout

    assert completed("get", "").split() == ["monitor", "scan"]
    assert completed("get", "", url=f"{api.url}/").split() == ["monitor", "scan"]
    assert completed("remove", "mo").split() == ["monitor"]
    assert completed("job", "run", "").split() == ["scan"]
    assert "restart" in completed("re")
    assert completed("get", "", url=f"http://127.0.0.1:{free_port()}").strip() == ""
