"""Importing a plugin and the step import, each time in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading_support import JOB, TASK, Load, failure, write_files


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


@pytest.mark.parametrize("text", ["return 1 / 0", "raise SystemExit", "raise BaseException", "raise Bad"])
def test_exception_that_cannot_be_shown(load: Load, text: str):
    """An exception whose text raises itself is a failed check too."""
    source = f"class Bad(Exception):\n    def __str__(self):\n        {text}\n\n\nraise Bad\n" + TASK
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
