"""The request that something is done for goes along through the Controller, and no further."""

from controller_support import request, running, until
from fakes import FakeHandle, FakeLauncher

from iocmng.core.builtin_pvs import Kind
from iocmng.core.runs import RunRequest
from iocmng.core.trace_context import carried, current

FIRST, SECOND, THIRD = (f"00-{digit * 32}-{digit * 16}-01" for digit in "123")


class Noting(FakeLauncher):
    """Notes for each step which request it is a part of."""

    def __init__(self):
        super().__init__()
        self.seen = []

    async def fetch(self, source, pat):
        self.seen.append(("fetch", current()))
        return await super().fetch(source, pat)

    async def take_process(self, placement=None):
        self.seen.append(("process", current()))
        self.handles.append(NotingHandle(self))
        return self.handles[-1]


class NotingHandle(FakeHandle):
    async def _step(self, name):
        self.launcher.seen.append((name, current()))
        await super()._step(name)

    async def next_report(self, within):
        assert current() is None, "what a process reports belongs to no request"
        return await super().next_report(within)


def parts_of(launcher, traceparent):
    """Return the steps that were parts of a request, and forget them all."""
    assert {each for _, each in launcher.seen} == {traceparent}
    steps = [step for step, _ in launcher.seen]
    launcher.seen.clear()
    return steps


async def test_an_add_and_a_restart_are_parts_of_their_requests():
    """Though the control loop does it; also where nobody waits. A start after a crash is a part of nothing."""
    launcher = Noting()
    async with running(launcher=launcher) as (controller, _):
        with carried(FIRST):
            await controller.add(request(), None, True)
        assert parts_of(launcher, FIRST) == ["fetch", "process", "prepare", "build", "start"]
        with carried(SECOND):
            await controller.restart("p", None)
        assert parts_of(launcher, SECOND)[:3] == ["fetch", "process", "prepare"]
        with carried(THIRD):
            await controller.add(request("q"), None, False)

        async def is_up():
            return len(launcher.serving) == 2

        await until(is_up)
        assert "start" in parts_of(launcher, THIRD)
        launcher.handles[-1].crash()

        async def is_up_again():
            return launcher.seen and launcher.seen[-1][0] == "start"

        await until(is_up_again)
        parts_of(launcher, None)


async def test_a_run_is_a_part_of_the_request_that_has_asked_for_it():
    """Also one that had to wait until another one's run had ended."""
    launcher = Noting()
    launcher.kind, launcher.holds_runs = Kind.JOB, True
    async with running(launcher=launcher) as (controller, _):
        await controller.add(request(), None, True)
        launcher.seen.clear()
        for traceparent in (FIRST, SECOND):
            with carried(traceparent):
                await controller.run_job("p", RunRequest(), False)

        def runs():
            return [each for step, each in launcher.seen if step == "run_job"]

        async def first_runs():
            return runs() == [FIRST]

        async def second_runs():
            return runs() == [FIRST, SECOND]

        await until(first_runs)
        launcher.handles[-1].finish()
        await until(second_runs)
        launcher.handles[-1].finish()
