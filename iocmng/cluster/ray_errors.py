"""From Ray's errors to ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable
from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from iocmng.errors import IocmngError, PluginCrashed, ServerUnavailable

NODE_IS_LOST = " because its node is lost"
CUT_OFF = ", or cannot be reached"
"""Ray has lost the connection, and does not know why yet."""

_log = logging.getLogger(__name__)


async def plugin_call(reference: Awaitable[Any]) -> Any:
    """Await a call to a plugin's process.

    Raises:
        PluginCrashed: If the process is gone.
        IocmngError: What the call raised.
    """
    return await _translated(reference, PluginCrashed, "the plugin's process ended")


async def controller_call(reference: Awaitable[Any]) -> Any:
    """Await a call to the Controller.

    Raises:
        ServerUnavailable: If it cannot be reached.
        IocmngError: What the call raised.
    """
    return await _translated(reference, ServerUnavailable, "the Controller cannot be reached, try again")


async def _translated(reference: Awaitable[Any], gone: type[IocmngError], sentence: str) -> Any:
    try:
        return await reference
    except RayTaskError as error:
        # Ray wraps an error into its whole remote traceback; users get the error itself.
        raise _cause(error) from None
    except RayActorError as error:
        raise gone(f"{sentence}{_exit_detail(error)}") from None
    except RayError as error:
        raise gone(f"{sentence}: {type(error).__name__}") from None


def task_error(error: RayError, sentence: str) -> IocmngError:
    """Return what a task of ours raised; else, with this sentence, that it could not be run."""
    return (
        _cause(error) if isinstance(error, RayTaskError) else ServerUnavailable(f"{sentence}: {type(error).__name__}")
    )


def _cause(error: RayTaskError) -> IocmngError:
    cause: Any = error.cause
    if isinstance(cause, IocmngError):
        return cause
    _log.error("an error of iocmng itself: %s", error)
    return IocmngError(f"internal error, please report it: {type(cause).__name__}: {cause}")


def _exit_detail(error: RayActorError) -> str:
    """Return what Ray knows of a process's end, in a few words."""
    text = str(error)
    if code := re.search(r"exit code (\d+)", text):
        return f" with exit code {code[1]}"
    if "its node has died" in text:
        return NODE_IS_LOST
    if "SYSTEM_ERROR" in text:
        # Ray's own guesses name a segmentation fault, whatever it was.
        return " by itself: it crashed, called exit, or was killed"
    if isinstance(error, ActorUnavailableError):
        return CUT_OFF
    return ""
