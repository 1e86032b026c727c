"""What `iocmng run` says when it cannot run: one sentence, naming the step, and an exit status."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from ioc_process import RUN, RUN_ALIAS, new_prefix
from support import MINIMAL_TASK, write_files

pytestmark = pytest.mark.thorough

IN_INIT = MINIMAL_TASK + "\n    def __init__(self):\n        self.device = {}['host']\n"
IN_INITIALIZE = MINIMAL_TASK.replace("pass", "raise OSError('no route to the camera')", 1)
WITH_MODEL = MINIMAL_TASK.replace("from iocmng", "from pydantic import BaseModel\nfrom iocmng").replace(
    "    def initialize", "    class Parameters(BaseModel):\n        gain: float\n\n    def initialize"
)
ON_IMPORT = "raise RuntimeError('no licence')\n" + MINIMAL_TASK


@dataclass
class Case:
    """A call that fails: its files and options, and what is expected of it.

    Attributes:
        files: The plugin's directory; None: there is none.
        options: After `iocmng run DIR`; PREFIX is replaced.
        status: Exit status.
        words: What the sentence must have.
        command: Instead of `iocmng run DIR`.
    """

    files: dict[str, str] | None
    status: int
    words: list[str]
    options: list[str] = field(default_factory=lambda: ["--prefix", "PREFIX"])
    command: tuple[str, ...] | None = None


def minimal(config: str = "", source: str = MINIMAL_TASK) -> dict[str, str]:
    """Return the files of a plugin."""
    return {"minimal.py": source} | ({"config.yaml": config} if config else {})


def with_pv(name: str, pv: str) -> str:
    """Return a config.yaml with one output."""
    return f"pvs:\n  outputs:\n    {name}: {pv}\n"


CASES = {
    "no directory": Case(None, 2, ["there is no directory"]),
    "bad prefix": Case(minimal(), 2, ["PV prefix", "'A B'"], ["--prefix", "A B"]),
    "empty prefix": Case(minimal(), 2, ["PV prefix ''"], ["--prefix", ""]),
    "bad name": Case(minimal(), 2, ["plugin name", "'a b'"], ["--prefix", "PREFIX", "--name", "a b"]),
    "no such config": Case(minimal(), 2, ["nowhere.yaml"], ["--prefix", "PREFIX", "--config", "nowhere.yaml"]),
    "pvout cannot be written": Case(
        minimal(), 2, ["/dev/null/pvs"], ["--prefix", "PREFIX", "--pvout", "/dev/null/pvs"]
    ),
    "unknown key": Case(minimal("parametres: {}\n"), 1, ["config:", "did you mean 'parameters'", "line 1"]),
    "parameter not declared": Case(
        minimal("parameters_schema: {gain: {type: float, max: 5}}\nparameters:\n  gain: 6\n"),
        1,
        ["config:", "parameters.gain: must be at most 5, not 6", "line 3"],
    ),
    "parameter of a model": Case(
        minimal("parameters: {gain: high}", WITH_MODEL), 1, ["config: parameters.gain: must be"]
    ),
    "name of a built-in PV": Case(
        minimal("pvs: {inputs: {STATUS: {type: int}}}\n"), 1, ["config:", "STATUS", "built-in"]
    ),
    "name too long": Case(minimal(with_pv("X" * 60, "{type: int}")), 1, ["config:", "60", "characters"]),
    "syntax error": Case(minimal(source="def (:\n"), 1, ["syntax:", "minimal.py", "line 1"]),
    "import error": Case(minimal(source=ON_IMPORT), 1, ["import:", "RuntimeError: no licence", "minimal.py, line 1"]),
    "no class": Case({"minimal.py": "x = 1\n"}, 1, ["inheritance:", "no plugin class"]),
    "no Python file": Case({"readme.txt": "hello"}, 1, ["syntax:", "no Python file"]),
    "abstract": Case(minimal(source=MINIMAL_TASK.replace("cleanup", "tidy")), 1, ["abstract methods:", "cleanup()"]),
    "__init__() raises": Case(minimal(source=IN_INIT), 1, ["constructor:", "KeyError: 'host'", "minimal.py, line 15"]),
    "initialize() raises": Case(minimal(source=IN_INITIALIZE), 1, ["initialize:", "no route to the camera", "line 6"]),
    "alias: no such module": Case(
        {}, 2, ["there is no module src.nothing"], ["-m", "src.nothing", "--prefix", "PREFIX"], RUN_ALIAS
    ),
    "alias: nothing to run": Case({}, 2, ["--module", "--config"], ["--prefix", "PREFIX"], RUN_ALIAS),
    "alias: no such class": Case(
        minimal(),
        1,
        ["inheritance:", "Maximal", "Minimal"],
        ["-m", "minimal", "-c", "Maximal", "--prefix", "PREFIX"],
        RUN_ALIAS,
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Return what became of each case; they run side by side, because most of the time goes into starting Python."""

    def run(case: Case) -> subprocess.CompletedProcess[str]:
        root = tmp_path_factory.mktemp("error")
        directory = root / "plugin"
        if case.files is not None:
            directory.mkdir()
            write_files(directory, case.files)
        options = [option.replace("PREFIX", new_prefix()) for option in case.options]
        command = case.command or (*RUN, str(directory))
        cwd = directory if case.command else root
        return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False, cwd=cwd)

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(CASES, pool.map(run, CASES.values()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_a_status(outcomes, name):
    """Status 2 for a wrong call, 1 for a plugin that fails; stderr ends with one sentence that says what and where."""
    case, done = CASES[name], outcomes[name]
    assert done.returncode == case.status, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("iocmng: ")
    assert [word for word in case.words if word not in last] == [], last
    assert done.stderr.count("iocmng: ") == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_a_call_without_prefix():
    """A call that lacks an option is wrong usage."""
    done = subprocess.run([*RUN, "somewhere"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "--prefix" in done.stderr
    assert "Traceback" not in done.stderr
