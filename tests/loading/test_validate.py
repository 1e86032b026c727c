"""iocmng validate: the seven checks of a server on a directory of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loading_support import JOB, TASK, Files, write_files

from iocmng.core.validation import STEPS
from iocmng.loading.validate import validate
from iocmng.settings import Settings, load_settings

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with short limits, that keep nothing outside of the test."""
    return load_settings(plugins_dir=tmp_path / "plugins", import_timeout=5, requirements_timeout=20)


def check(directory: Path, files: Files, settings: Settings, name: str = "monitor"):
    write_files(directory, files)
    return validate(directory, name, "LAB", settings)


@pytest.mark.parametrize("example", ["my_monitor", "move_stage", "my_diagnostics", "beam_statistics"])
def test_the_examples_are_valid(example: str, settings: Settings):
    """All seven checks are passed, and the report says what the plugin is."""
    report = validate(EXAMPLES / example, "demo", "LAB", settings)
    assert set(report.steps().values()) == {"ok"}
    assert report.to_dict() == {"ok": True, "errors": [], "warnings": []}
    assert report.facts is not None
    assert report.facts.pv_prefix == "LAB:DEMO"


# name: (files, checks passed before, failed check, checks passed after it, words, file, line)
REJECTIONS = {
    "clone": ({"m.py": TASK, "secret": None}, "clone", (), "outside of the plugin's directory", "secret", None),
    "dependencies": ({"m.py": TASK, "requirements.txt": "iocmng==0.1\n"}, "dependencies", (), "iocmng==0.1",
                     "requirements.txt", 1),
    "config": ({"m.py": TASK, "config.yaml": "\nparamters: {}\n"}, "config", (), "did you mean 'parameters'?",
               "config.yaml", 2),
    "syntax": ({"m.py": "class M(:\n"}, "syntax", (), "SyntaxError", "m.py", 1),
    "import": ({"m.py": "import no_such_thing\n" + TASK}, "import", (), "no_such_thing", "m.py", 1),
    "inheritance": ({"m.py": TASK + JOB}, "inheritance", (), "there are 2 plugin classes", "m.py", None),
    "abstract methods": ({"m.py": TASK.replace("cleanup", "clean_up")}, "abstract methods", (), "lacks cleanup()",
                         "m.py", 4),
    "type": ({"m.py": TASK, "config.yaml": "type: job\n"}, "config", ("syntax", "import", "inheritance"),
             "is a task", "config.yaml", None),
    "built-in name": ({"m.py": TASK, "config.yaml": "pvs: {outputs: {RESET: {type: bool}}}\n"}, "config",
                      STEPS[3:], "RESET has the name of a built-in PV", None, None),
    "exit": ({"m.py": "import os\nos._exit(3)\n" + TASK}, "import", (), "ended with exit code 3", None, None),
    "crash": ({"m.py": TASK + "import ctypes\nctypes.string_at(0)\n"}, "import", (),
              "segmentation fault in <module> (m.py, line 14)", None, None),
    "sys.exit": ({"m.py": TASK + "raise SystemExit(3)\n"}, "import", (), "SystemExit: 3", "m.py", 13),
}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "failed", "after", "words", "file", "line"), REJECTIONS.values(), ids=REJECTIONS.keys()
)
def test_a_failed_check_is_named_and_all_others_are_reported(
    tmp_path: Path, settings: Settings, files, failed, after, words, file, line
):
    """Those before it are ok, those after it were not run unless they were; step, file and line are named."""
    directory = tmp_path / "monitor"
    write_files(directory, {name: content for name, content in files.items() if content is not None})
    for name, content in files.items():
        if content is None:
            (directory / name).symlink_to("/etc/passwd")
    report = validate(directory, "monitor", "LAB", settings)
    steps = report.steps()
    assert list(steps) == list(STEPS)
    before = STEPS[: STEPS.index(failed)]
    expected = {step: "ok" if step in (*before, *after) else "not run" for step in STEPS} | {failed: "failed"}
    assert steps == expected
    (entry,) = report.to_dict()["errors"]
    assert (entry["step"], entry["file"]) == (failed, file)
    assert words in entry["message"]
    assert line is None or entry["line"] == line
    assert not report.ok


def test_all_mistakes_of_a_check_are_named(tmp_path: Path, settings: Settings):
    """One entry for each."""
    config = "pvs:\n  inputs:\n    A: {type: flaot}\n    B: {type: int, colour: red}\n"
    report = check(tmp_path / "m", {"m.py": TASK, "config.yaml": config}, settings)
    assert [failure.line for failure in report.failures] == [3, 4]


def test_an_import_that_hangs_is_ended(tmp_path: Path, settings: Settings):
    """After import_timeout, with its children, in the words of the server."""
    source = "import subprocess, time\nsubprocess.Popen(['sleep', '3600'])\ntime.sleep(3600)\n" + TASK
    quick = settings.model_copy(update={"import_timeout": 1.5})
    report = check(tmp_path / "m", {"m.py": source}, quick)
    assert [str(failure) for failure in report.failures] == ["import: did not end within 1.5 s"]


def test_a_thread_of_the_author_does_not_hold_it_up(tmp_path: Path, settings: Settings):
    """The process ends as soon as the checks have."""
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n" + TASK
    assert check(tmp_path / "m", {"m.py": source}, settings).ok


def test_nothing_stays(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Neither in the plugin's directory nor in the state nor among temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    check(tmp_path / "m", {"m.py": TASK}, settings)
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["m.py"]
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "plugins").exists()


def test_requirements_may_stand_in_the_repository(tmp_path: Path, settings: Settings):
    """Those of its root are taken where the plugin's directory has none, as a server takes them."""
    write_files(tmp_path / "repository", {".git/HEAD": "", "requirements.txt": "iocmng==0.1\n"})
    report = check(tmp_path / "repository" / "plugins" / "m", {"m.py": TASK}, settings)
    assert [failure.step for failure in report.failures] == ["dependencies"]


def test_the_code_runs_apart(tmp_path: Path, settings: Settings):
    """In a process of its own that has no settings of the server, and not in the plugin's directory."""
    source = f"""\
import os, pathlib
assert os.getpid() != {os.getpid()}
assert not [name for name in os.environ if name.startswith("IOCMNG_")]
assert not pathlib.Path("m.py").exists()
print("noise")
"""
    assert check(tmp_path / "m", {"m.py": source + TASK}, settings).failures == ()


def iocmng(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "iocmng", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_the_report(tmp_path: Path):
    """Each check on a line, what is wrong below it, and exit status 1."""
    write_files(tmp_path / "monitor", {"m.py": TASK.replace("cleanup", "clean_up")})
    done = iocmng("validate", "monitor", cwd=tmp_path)
    assert done.stdout == (
        "clone             ok\n"
        "dependencies      ok\n"
        "config            ok\n"
        "syntax            ok\n"
        "import            ok\n"
        "inheritance       ok\n"
        "abstract methods  failed\n"
        "    m.py, line 4: Monitor lacks cleanup(); write what is missing, with `pass` where there is nothing to do\n"
        "a server would reject monitor\n"
    )
    assert (done.stderr, done.returncode) == ("", 1)


def test_the_command_says_what_a_valid_plugin_is(tmp_path: Path):
    """Kind, class and PV names, with exit status 0; name and prefix can be given."""
    write_files(tmp_path / "monitor", {"m.py": TASK})
    done = iocmng("validate", ".", "--name", "pump-1", "--prefix", "SPARC:WATER", cwd=tmp_path / "monitor")
    assert done.stdout.splitlines()[-1] == "pump-1 is a continuous task: Monitor, PVs SPARC:WATER:PUMP-1:…"
    assert done.returncode == 0
    done = iocmng("validate", "monitor", cwd=tmp_path, IOCMNG_PREFIX="LAB")
    assert done.stdout.splitlines()[-1] == "monitor is a continuous task: Monitor, PVs LAB:MONITOR:…"


def test_parameters_are_checked_as_those_of_an_add(tmp_path: Path):
    """What a task declares as required is missing without --param, checked with it, and named where it does not fit."""
    config = "parameters_schema: {axis: {type: int, max: 8, required: true}}\n"
    write_files(tmp_path / "monitor", {"m.py": TASK, "config.yaml": config})
    for given, status, words in (
        ([], 1, "parameters.axis is missing; it must be given"),
        (["--param", "axis=3"], 0, "monitor is a continuous task"),
        (["--param", "axis=9"], 1, "parameters.axis"),
        (["--param", "axes=3"], 1, "did you mean 'axis'?"),
        (["--param", "axis"], 2, "must be of the form NAME=VALUE"),
    ):
        done = iocmng("validate", "monitor", *given, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        assert words in done.stdout + done.stderr


def test_what_a_plugin_raises_does_not_steer_the_terminal(tmp_path: Path):
    """Control characters in an exception's text are shown as marks."""
    write_files(tmp_path / "monitor", {"m.py": 'raise RuntimeError("\\x1b[2Jgone")\n' + TASK})
    done = iocmng("validate", "monitor", cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert "[2Jgone" in done.stdout


def test_json_is_the_validation_object_and_nothing_else(tmp_path: Path):
    """On stdout, with the same exit status."""
    write_files(tmp_path / "monitor", {"m.py": TASK})
    done = iocmng("validate", "monitor", "--json", cwd=tmp_path)
    assert (json.loads(done.stdout), done.returncode) == ({"ok": True, "errors": [], "warnings": []}, 0)
    write_files(tmp_path / "monitor", {"m.py": "class X(:\n"})
    done = iocmng("validate", "monitor", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (told["ok"], told["errors"][0]["step"], done.stderr, done.returncode) == (False, "syntax", "", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no directory nowhere"),
        (["two words"], "plugin name 'two words' is not allowed"),
        (["fine", "--name", "a:b"], "plugin name 'a:b' is not allowed"),
        (["fine", "--prefix", "A::B"], "PV prefix 'A::B' is not allowed"),
    ],
)
def test_wrong_usage_is_told_in_one_sentence(tmp_path: Path, arguments: list[str], words: str):
    """With exit status 2."""
    for name in ("two words", "fine"):
        write_files(tmp_path / name, {"m.py": TASK})
    done = iocmng("validate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"iocmng: {words}")
    assert len(done.stderr.splitlines()) == 1


def test_neither_ray_nor_epics_is_loaded(tmp_path: Path):
    """The command and the process that runs the plugin's code need none of the heavy libraries."""
    source = "import sys\nassert not {'ray', 'softioc', 'cothread', 'p4p', 'fastapi'} & set(sys.modules)\n" + TASK
    write_files(tmp_path / "monitor", {"m.py": source})
    code = (
        "import sys; from pathlib import Path; from iocmng.cli.validate import validate\n"
        "assert validate(Path('monitor'), None, None, {}, True)\n"
        "assert not {'ray', 'softioc', 'cothread', 'p4p', 'fastapi'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_limits_beyond_the_site_s_are_refused(tmp_path: Path):
    """As at an add to a server with the same settings."""
    write_files(tmp_path / "p", {"m.py": TASK, "config.yaml": "limits: {memory: 2Gi, open_files: 100}\n"})
    done = iocmng(
        "validate", "p", "--prefix", "LAB", cwd=tmp_path, IOCMNG_PLUGIN_MEMORY="1Gi", IOCMNG_PLUGIN_OPEN_FILES="100"
    )
    assert done.returncode == 1
    assert "limits.memory: 2Gi is more than this server allows a plugin; ask for 1Gi or less" in done.stdout
    assert "open_files" not in done.stdout
    assert iocmng("validate", "p", "--prefix", "LAB", cwd=tmp_path, IOCMNG_PLUGIN_MEMORY="2Gi").returncode == 0


def test_the_import_has_the_limits_and_the_environment_of_a_plugin(tmp_path: Path, settings: Settings, monkeypatch):
    """What takes too much at its import, or asks for a secret, fails here and not at the server."""
    greedy = {"m.py": "HELD = bytearray(900 << 20)\n" + TASK, "config.yaml": "limits: {memory: 64Mi}\n"}
    report = check(tmp_path / "greedy", greedy, settings)
    assert [(failure.step, failure.message) for failure in report.failures] == [
        ("import", "MemoryError: more memory than the process may take (see limits.memory, IOCMNG_PLUGIN_MEMORY)")
    ]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("SITE_THING", "1")
    curious = {
        "m.py": "import os\nraise RuntimeError(sorted({'AWS_SECRET_ACCESS_KEY', 'SITE_THING'} & os.environ.keys()))\n"
        + TASK
    }
    passing = settings.model_copy(update={"plugin_env": ("SITE_*",)})
    assert check(tmp_path / "curious", curious, passing).failures[0].message == "RuntimeError: ['SITE_THING']"
