"""Every call of the OpenAPI document, with values that fit it and values that do not.

No answer is a mistake of the server, and status, content type, headers and body are what the document says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from api_fakes import FakeController, plugin_object
from hostile_support import Watched
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis import checks as general_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from served_api import ServedApi, served

pytestmark = pytest.mark.thorough

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())

CONFORMS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

QUICK = settings(
    max_examples=4,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=300)
SHORT = settings(QUICK, max_examples=1)


def document(modes: list[GenerationMode]) -> Any:
    """Return the calls of the document, but for those whose answer never ends."""
    loaded = schemathesis.openapi.from_dict(DOCUMENT)
    loaded.config.generation.update(modes=modes)
    return loaded.exclude(path_regex="/events$")


EVERYTHING = document([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def api() -> Iterator[ServedApi]:
    """The API on a fake Controller."""
    controller = FakeController(plugin_object("monitor", "task"), plugin_object("scan", "job", mode=None))
    with served(controller, scripted_runs=False) as opened:
        yield opened


def without_following(case: Case) -> Case:
    """Take out of a call what lets its answer never end."""
    if case.query:
        case.query = {key: value for key, value in case.query.items() if key != "follow"}
    return case


def try_out(case: Case, url: str) -> None:
    """Make one call of a served API and check the answer."""
    case = without_following(case)
    case.call_and_validate(base_url=url, checks=[*CONFORMS, general_checks.not_a_server_error], timeout=30)


@EVERYTHING.parametrize()
@QUICK
def test_every_call_answers_as_documented(case: Case, api: ServedApi):
    """A few calls of each kind, right and wrong ones."""
    try_out(case, api.url)


@pytest.mark.slow
@EVERYTHING.parametrize()
@LONG
def test_every_call_answers_as_documented_to_many(case: Case, api: ServedApi):
    """Many calls of each kind."""
    try_out(case, api.url)


@general_checks.check
def no_mistake_of_the_server(_: Any, response: Any, __: Case) -> None:
    """Check for the one status that is never right; 502, 503 and 504 are documented where they may be."""
    assert response.status_code != 500, response.text


@EVERYTHING.parametrize()
@SHORT
def test_every_call_of_a_real_server_answers_as_documented(case: Case, shared_watched: Watched):
    """A real server, which may fetch from nowhere, answers so too, and goes on."""
    url = str(shared_watched.server.http.base_url).removesuffix("/api/v1/")
    case = without_following(case)
    case.call_and_validate(base_url=url, checks=[*CONFORMS, no_mistake_of_the_server], timeout=60)


def test_nothing_is_left_of_all_those_calls(watched: Watched):
    """What the calls have added is removed, and then all is as before."""
    watched.clear()
