"""Waits until a change is seen by this replica, so that its next read shows it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from iocmng.api.deps import Context
from iocmng.errors import IocmngError

logger = logging.getLogger(__name__)


async def settle(context: Context, change: Awaitable[int]) -> None:
    """Wait until the change is done and this replica shows it."""
    try:
        version = await change
    except IocmngError as error:
        await context.follower.wait_for(error.snapshot_version)
        raise
    if not await context.follower.wait_for(version):
        # It is done all the same: an error here would make the caller do it again.
        logger.warning("a change is done (version %d), but this replica has not seen it yet", version)
