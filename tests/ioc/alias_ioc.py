"""Serves two PVs under two names each until stdin ends; run as a program, with the prefix and the alias's prefix."""

import sys

from iocmng.core.client_puts import ClientPut
from iocmng.core.pv_fields import Direction
from iocmng.core.pvs import DeclaredPv, FloatPv
from iocmng.epics.ioc import SiteRules, SoftIoc


def say(*words: object) -> None:
    """Print a line at once."""
    print(*words, flush=True)  # noqa: T201


def told(put: ClientPut) -> None:
    """Print who has written what."""
    say(put.pv, put.value)


ioc = SoftIoc()
ioc.rules = SiteRules(alias_prefix=sys.argv[2])
ioc.listen(told)
pvs = [
    DeclaredPv(name="SETPOINT", direction=Direction.INPUT, pv=FloatPv(type="float", value=1, unit="mm")),
    DeclaredPv(name="READING", direction=Direction.OUTPUT, pv=FloatPv(type="float", value=2)),
    DeclaredPv(name="X" * int(sys.argv[3]), direction=Direction.OUTPUT, pv=FloatPv(type="float")),
]
for record in ioc.build(sys.argv[1], pvs, lambda name, value: say("on_write", name, value)):
    say(record.name, record.alias)
ioc.run()
say("serves")
sys.stdin.read()
