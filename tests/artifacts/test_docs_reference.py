"""What the reference repeats of the code is made from the code, and renewed when the code changes."""

import importlib.util
import sys

import pytest
from docs_blocks import ROOT

from iocmng.core.validation import STEPS
from iocmng.settings import Settings


@pytest.fixture(scope="module")
def generate():
    """The script docs/generate.py, as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(generate):
    """The tables in docs/reference and the JSON Schema are what the code says now."""
    behind = [path.relative_to(ROOT).as_posix() for path in generate.stale()]
    assert behind == [], f"out of date: {', '.join(behind)}; renew them with `{generate.COMMAND}`"


def test_every_part_is_shown(generate):
    """Everything that the script can write stands on some page, once."""
    pages = "".join(page.read_text(encoding="utf-8") for page in generate.REFERENCE.glob("*.md"))
    assert {name: pages.count(f"<!-- begin {name} -->") for name in generate.PARTS} == dict.fromkeys(generate.PARTS, 1)


def test_every_setting_is_listed():
    """docs/reference/settings.md has a line for each setting."""
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"| `IOCMNG_{name.upper()}` |" not in page] == []


def test_every_check_has_its_section():
    """When a plugin is rejected, the page names each step that an answer can name, in the order of the checks."""
    page = (ROOT / "docs/how-to/when-a-plugin-is-rejected.md").read_text(encoding="utf-8")
    sections = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert sections == ["Read the answer", "request", *STEPS, "constructor", "records", "initialize"]
