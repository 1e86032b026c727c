"""The steps inheritance and abstract methods, each plugin in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from loading_support import JOB, TASK, Load, failure


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
