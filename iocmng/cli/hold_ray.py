"""`python -m iocmng.cli.hold_ray SETTINGS`: the process that holds a Ray which outlives its server."""

from __future__ import annotations

import json
import signal
import sys

from iocmng.cli.own_ray import hold
from iocmng.settings import Settings

if __name__ == "__main__":
    # Blocked before Ray makes its threads, so that the signal waits until it is asked for.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    hold(Settings(**json.loads(sys.argv[1])))
