"""The steps import, inheritance and abstract methods, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loading_support import TASK, Files, write_files

Load = Callable[..., dict[str, Any]]

JOB = """from iocmng import JobBase


class Scan(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return 1
"""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("import_server.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def load(server: subprocess.Popen[str], tmp_path: Path) -> Load:
    """Return a function that writes a plugin, imports it in a fresh process and returns what came of it."""

    def run(files: Files, manifest: dict[str, Any] | None = None, packages: Path | None = None) -> dict[str, Any]:
        directory = tmp_path / "bundle"
        write_files(directory, files)
        request = {
            "directory": str(directory),
            "manifest": manifest or {},
            "packages": str(packages) if packages else None,
        }
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    return run


def failure(result: dict[str, Any]) -> tuple[str, str, str | None, int | None]:
    (entry,) = result["failures"]
    return entry["step"], entry["message"], entry["file"], entry["line"]


def test_task_and_job(load: Load, tmp_path: Path):
    """The class is returned with its kind; the bundle comes first on the path, then its packages."""
    result = load({"monitor.py": TASK}, packages=tmp_path / "packages")
    assert (result["class"], result["module"], result["kind"]) == ("Monitor", "monitor", "task")
    assert result["path"] == [str(tmp_path / "bundle"), str(tmp_path / "packages")]


def test_job(load: Load):
    """A job need not have cleanup()."""
    result = load({"scan.py": JOB}, {"type": "job"})
    assert (result["class"], result["kind"]) == ("Scan", "job")


def test_declarative_task(load: Load):
    """A class derived from DeclarativeTask needs no method of its own; the imported base is not taken for it."""
    source = "from iocmng import DeclarativeTask, JobBase, TaskBase\n\n\nclass Mine(DeclarativeTask):\n    pass\n"
    assert load({"mine.py": source})["class"] == "Mine"


def test_helpers_and_packages(load: Load, tmp_path: Path):
    """Modules beside the plugin, packages below it and required packages can be imported."""
    write_files(tmp_path / "packages", {"required/__init__.py": "value = 3\n"})
    source = (
        "import required\nfrom helper import value\nfrom lib.deep import deep\n"
        + TASK
        + "    answer = [value, deep, required.value]\n"
    )
    files = {"monitor.py": source, "helper.py": "value = 1\n", "lib/__init__.py": "", "lib/deep.py": "deep = 2\n"}
    assert load(files, packages=tmp_path / "packages")["answer"] == [1, 2, 3]


def test_bundle_wins_over_packages(load: Load, tmp_path: Path):
    """A module of the plugin's own wins over a package of the same name."""
    write_files(tmp_path / "packages", {"helper.py": "value = 'package'\n"})
    files = {"monitor.py": "from helper import value\n" + TASK + "    answer = value\n", "helper.py": "value = 'own'\n"}
    assert load(files, packages=tmp_path / "packages")["answer"] == "own"


def test_only_files_that_may_hold_the_class_are_imported(load: Load):
    """Scripts, tests and packaging files beside the plugin are not run."""
    trap = "raise RuntimeError('imported')\n"
    others = {
        "setup.py": trap + TASK,
        "conftest.py": trap + TASK,
        "test_monitor.py": trap + TASK,
        "monitor_test.py": trap + TASK,
        "__init__.py": trap + TASK,
        "__main__.py": trap + TASK,
        "script.py": trap + "import iocmng\n",
        "data.py": trap + "class Unrelated:\n    pass\n",
        "sub/other.py": trap + TASK,
    }
    assert load({"monitor.py": TASK, **others})["class"] == "Monitor"


def test_base_class_in_a_neighbour(load: Load):
    """A plugin may derive from a base of its own in another file or package; an abstract one is not a second plugin."""
    base = "from iocmng import TaskBase\n\n\nclass Base(TaskBase):\n    def initialize(self):\n        pass\n"
    derived = (
        "from {} import Base\n\n\nclass Derived(Base):\n"
        "    def execute(self):\n        pass\n    def cleanup(self):\n        pass\n"
    )
    files = {"zbase.py": base, "aplugin.py": derived.format("zbase")}
    assert load(files)["class"] == "Derived"


@pytest.mark.parametrize(
    ("statement", "base_file"),
    [("from lib.base import Base", "lib/base.py"), ("from lib import Base", "lib/inner.py")],
)
def test_base_class_in_a_package(load: Load, statement: str, base_file: str):
    """Imports are followed through packages of the plugin, relative ones included."""
    base = TASK.replace("Monitor", "Base").replace("    def cleanup(self):\n        pass\n", "")
    derived = f"{statement}\n\n\nclass Derived(Base):\n    def cleanup(self):\n        pass\n"
    files = {"plugin.py": derived, "lib/__init__.py": "from .inner import Base\n", "lib/inner.py": "Base = object\n"}
    if base_file == "lib/base.py":
        files["lib/__init__.py"] = ""
    assert load({**files, base_file: base})["class"] == "Derived"


def test_base_class_in_a_required_package(load: Load, tmp_path: Path):
    """A site's own base class may come from a required package, so that the plugin never names iocmng."""
    write_files(tmp_path / "packages", {"site_base.py": TASK})
    source = "from site_base import Monitor\n\n\nclass Mine(Monitor):\n    pass\n"
    assert load({"mine.py": source}, packages=tmp_path / "packages")["class"] == "Mine"


def test_neighbours_get_the_same_module(load: Load):
    """A candidate that another one imports is loaded once."""
    files = {
        "a.py": "import b\n" + TASK + "    answer = b.loads\n",
        "b.py": "import builtins\nfrom iocmng import TaskBase\nbuiltins.loads = getattr(builtins, 'loads', 0) + 1\n"
        "loads = builtins.loads\n\n\nclass Helper:\n    pass\n",
    }
    result = load(files)
    assert result["answer"] == 1
    assert {"a", "b"} <= set(result["imported"])


@pytest.mark.parametrize("name", ["json.py", "iocmng.py", "my-plugin.py", "1st.py", "yaml.py"])
def test_unusual_file_names(load: Load, name: str):
    """A file may have the name of a module that is loaded already, or none that Python could import."""
    assert load({name: TASK})["class"] == "Monitor"


def test_alias_of_the_file(load: Load, tmp_path: Path):
    """A second name of the same file is not a second plugin."""
    write_files(tmp_path / "bundle", {"monitor.py": TASK})
    (tmp_path / "bundle" / "main.py").symlink_to("monitor.py")
    assert load({})["class"] == "Monitor"


# The step import.


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise BaseException", "BaseException"),
        ("raise GeneratorExit('x')", "GeneratorExit: x"),
        ("raise ValueError('\\ud800')", "ValueError: ?"),
        ("assert False, 'text'", "AssertionError: text"),
    ],
)
def test_exceptions_of_the_import(load: Load, statement: str, message: str):
    """Whatever an import raises is a failed check with its text, file and line."""
    result = load({"monitor.py": f"import iocmng\n\n{statement}\n{TASK}"})
    assert failure(result) == ("import", message, "monitor.py", 3)


def test_exception_that_cannot_be_shown(load: Load):
    """An exception whose text raises itself is a failed check too."""
    source = "class Bad(Exception):\n    def __str__(self):\n        return 1 / 0\n\n\nraise Bad\n" + TASK
    step, message, file, line = failure(load({"monitor.py": source}))
    assert (step, file, line) == ("import", "monitor.py", 6)
    assert message.startswith("Bad: ")


def test_line_is_the_deepest_of_the_plugins_own(load: Load):
    """Of a traceback through helper and library, the place in the plugin's own helper is told."""
    files = {
        "monitor.py": "import helper\n" + TASK,
        "helper.py": "import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n",
    }
    step, message, file, line = failure(load(files))
    assert (step, file, line) == ("import", "helper.py", 5)
    assert message.startswith("JSONDecodeError: ")


def test_missing_module(load: Load):
    """A module that is not there comes with the advice to require it."""
    step, message, file, line = failure(load({"monitor.py": "import nowhere\n" + TASK}))
    assert (step, file, line) == ("import", "monitor.py", 1)
    assert message.startswith("ModuleNotFoundError: No module named 'nowhere'; add its package to requirements.txt")


# The step inheritance.


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n",
        "class Plain:\n    pass\n",
        "from iocmng import TaskBase, DeclarativeTask\n\n\nclass Plain:\n    pass\n",
        "from iocmng import DeclarativeTask as Mine\n\n\nclass Plain:\n    pass\n",
    ],
)
def test_no_plugin_class(load: Load, source: str):
    """Without a class of its own a plugin is rejected, whatever it imports; what is expected is said."""
    step, message, _, _ = failure(load({"monitor.py": source}))
    assert step == "inheritance"
    assert "define one class derived from TaskBase, JobBase or DeclarativeTask" in message


def test_two_plugin_classes(load: Load):
    """Two plugin classes are named with their places, and the way to choose."""
    step, message, file, line = failure(load({"monitor.py": TASK, "scan.py": JOB}))
    assert (step, file, line) == ("inheritance", "scan.py", 4)
    assert "Monitor (monitor.py:4), Scan (scan.py:4)" in message
    assert "`class: Name` in config.yaml" in message


def test_unfinished_class_beside_a_finished_one(load: Load):
    """A class that nobody derives from counts even if it lacks methods: nothing is chosen silently."""
    unfinished = "\n\nclass Other(TaskBase):\n    pass\n"
    assert "2 plugin classes" in failure(load({"monitor.py": TASK + unfinished}))[1]


def test_second_name_of_a_class(load: Load):
    """Another name of the same class is not another class."""
    assert load({"monitor.py": TASK + "\n\nPlugin = Monitor\n"})["class"] == "Monitor"


def test_class_is_chosen(load: Load):
    """`class` in config.yaml chooses between several."""
    assert load({"monitor.py": TASK, "scan.py": JOB}, {"class": "Scan"})["class"] == "Scan"


def test_chosen_class_is_not_there(load: Load):
    """A misspelt `class` is rejected with those that there are and the nearest one."""
    step, message, file, _ = failure(load({"monitor.py": TASK, "config.yml": "class: Montor\n"}, {"class": "Montor"}))
    assert (step, file) == ("inheritance", "config.yml")
    assert "defines Monitor (monitor.py:4); did you mean 'Monitor'?" in message


def test_chosen_class_stands_twice(load: Load):
    """Two classes of the chosen name are named with their places."""
    step, message, _, _ = failure(load({"a.py": TASK, "b.py": TASK}, {"class": "Monitor"}))
    assert step == "inheritance"
    assert "a.py:4, b.py:4; rename one" in message


def test_type_does_not_agree(load: Load):
    """`type` in config.yaml must be that of the class; both are named."""
    step, message, file, _ = failure(load({"scan.py": JOB, "config.yaml": "type: task\n"}, {"type": "task"}))
    assert (step, file) == ("config", "config.yaml")
    assert "`type` says task, but Scan (scan.py:4) is a job" in message


def test_kind_is_a_taken_name(load: Load):
    """A class attribute that hides one of the framework's is told."""
    step, message, file, line = failure(load({"monitor.py": TASK + "    kind = 'motor'\n"}))
    assert (step, file, line) == ("inheritance", "monitor.py", 4)
    assert "choose another name" in message


# The step abstract methods.


def test_missing_methods(load: Load):
    """Missing methods are all named, with the place of the class."""
    source = "from iocmng import TaskBase\n\n\nclass Monitor(TaskBase):\n    def execute(self):\n        pass\n"
    step, message, file, line = failure(load({"monitor.py": source}))
    assert (step, file, line) == ("abstract methods", "monitor.py", 4)
    assert "Monitor lacks cleanup(), initialize(); write" in message


def test_importing_the_room_loads_neither_ray_nor_epics():
    """A plugin's process loads Ray or EPICS only when it wants them."""
    code = (
        "import sys, iocmng.loading.importer\n"
        "print({'ray', 'softioc', 'cothread', 'fastapi', 'git', 'uv'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"
