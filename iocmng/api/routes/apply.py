"""Apply: makes the plugins of one plugins file what its entries say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from fastapi import FastAPI, Request
from starlette.responses import Response

from iocmng.api.audit import note
from iocmng.api.auth import check_plugins
from iocmng.api.bodies import read_body
from iocmng.api.change_schemas import ApplyAnswer, ApplyProblem, ApplyRequest
from iocmng.api.deps import Context, context_of, follower_of
from iocmng.api.documentation import problem_answer
from iocmng.api.json_bytes import encode
from iocmng.api.problems import problem
from iocmng.api.routes.registration import BASE, Call, add_change, json_answer
from iocmng.api.routes.settling import settle
from iocmng.api.sentences import shortened
from iocmng.api.snapshot import SnapshotFollower
from iocmng.core.access import Role
from iocmng.core.request import PluginRequest
from iocmng.core.state import Applied
from iocmng.errors import BodyTooLarge, BodyTooSlow, CheckFailure, InvalidRequest, WrongState

_FAILED = "failed"
_CALL = Call(
    "apply",
    "Make the plugins of one plugins file what its entries say, and remove those it no longer names",
    ApplyAnswer,
    (InvalidRequest, WrongState, BodyTooLarge, BodyTooSlow),
    body=ApplyRequest,
    tag="plugins",
    names_in_body=True,
    more={
        422: problem_answer(
            "The body does not fit its schema, or plugins have failed; the others are done.", ApplyProblem
        )
    },
)


async def apply(request: Request) -> Response:
    """Answer with what was done to each plugin; 422 if one has failed, with all results in the problem document."""
    context, wanted = context_of(request), await read_body(request, ApplyRequest, entries=PluginRequest)
    check_plugins(request, _concerned(follower_of(request), wanted))
    results = await _applied(context, wanted)
    note(request.scope, applied=results)
    failures = [CheckFailure("apply", f"{done.name}: {done.message}") for done in results if done.action == _FAILED]
    rows = [asdict(done) for done in results]
    if not failures:
        return json_answer(encode({"ok": True, "message": _summary(results), "results": rows}))
    detail = f"{_summary(results)}: {'; '.join(failure.message for failure in failures)}"
    return problem(
        request.scope,
        status=422,
        code="apply-failed",
        detail=shortened(detail, 2000),
        failures=failures,
        extensions={"results": rows},
    )


def _concerned(follower: SnapshotFollower, wanted: ApplyRequest) -> set[str]:
    """Return the names of all plugins that are added, changed, kept or removed."""
    owned = {name for name, plugin in follower.plugins.items() if plugin.get("owner") == wanted.owner}
    return owned | {request.name for request in wanted.plugins}


async def _applied(context: Context, wanted: ApplyRequest) -> Sequence[Applied]:
    results: list[Applied] = []

    async def change() -> int:
        done, version = await context.client.apply(wanted.owner, wanted.plugins)
        results.extend(done)
        return version

    await settle(context, change())
    return results


def _summary(results: Sequence[Applied]) -> str:
    counts = Counter(done.action for done in results)
    return ", ".join(f"{count} {action}" for action, count in sorted(counts.items())) or "nothing to do"


def register(app: FastAPI) -> None:
    """Add the call to the application."""
    add_change(app, "POST", f"{BASE}/apply", apply, _CALL, Role.ADMIN)
