"""The fixtures come with the package, and cost a test run nothing that does not use them."""

import os
import subprocess
import sys

import pytest
from support import write_files

pytestmark = pytest.mark.thorough

HEAVY = ("iocmng", "pydantic", "yaml", "p4p", "softioc", "ray")


def run_pytest(directory, *options):
    """Run pytest as somebody who has installed iocmng, in a directory of his own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", directory, *options],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_without_plugins_loads_nothing_of_iocmng(tmp_path):
    """Unrelated projects in the same environment are left alone."""
    write_files(
        tmp_path,
        {
            "test_other.py": f"""\
        import sys

        def test_nothing_is_loaded():
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """
        },
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fixtures_are_listed_with_their_words(tmp_path):
    """`pytest --fixtures` tells an author what there is."""
    done = run_pytest(tmp_path, "--fixtures")
    assert "run_plugin -- " in done.stdout
    assert "ioc -- " in done.stdout


def test_an_author_may_have_fixtures_of_these_names(tmp_path):
    """A project's own fixture wins, as always with pytest."""
    write_files(
        tmp_path,
        {
            "test_own.py": """\
        import pytest

        @pytest.fixture
        def ioc():
            return "mine"

        def test_it(ioc):
            assert ioc == "mine"
        """
        },
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_failing_test_ends_its_plugin_and_its_ioc(tmp_path):
    """cleanup() is run and the process is gone, also where the test fails."""
    write_files(tmp_path, {
        "p.py": """\
            import pathlib
            from iocmng import TaskBase

            class Noting(TaskBase):
                def initialize(self): pass
                def execute(self): pass
                def cleanup(self):
                    with open(pathlib.Path(__file__).with_name("ends.txt"), "a") as ends:
                        ends.write("end\\n")
            """,
        "test_failing.py": """\
            import pathlib

            def test_in_process(run_plugin):
                run_plugin(pathlib.Path(__file__).parent).start()
                assert False

            def test_as_an_ioc(ioc):
                ioc(pathlib.Path(__file__).parent).wait_for("STATUS", "RUN")
                assert False
            """,
    })  # fmt: skip
    done = run_pytest(tmp_path)
    assert "2 failed" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "ends.txt").read_text() == "end\nend\n"


@pytest.mark.parametrize("name", ["run_plugin", "ioc"])
def test_our_own_tests_have_them(request, name):
    """They are found by their entry point, not by a conftest.py of ours."""
    definitions = request._fixturemanager.getfixturedefs(name, request.node)
    assert [definition.func.__module__ for definition in definitions] == ["pytest_iocmng"]
