"""The secrets of the state on their way to the Controller, past Ray's control store.

What an actor gets as an argument, Ray keeps for its restarts, and whoever may speak to Ray may read it there. So the
Controller gets the paths of files on its own node.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from pydantic import SecretStr
from ray.exceptions import GetTimeoutError, RayError

from iocmng.cluster.nodes import HEAD
from iocmng.cluster.ray_errors import task_error
from iocmng.errors import ServerUnavailable
from iocmng.loading.kept_secrets import keep_secret
from iocmng.loading.secret_file import secret_file
from iocmng.settings import Settings

NAMES = ("state_url", "state_key")

TIMEOUT = 60.0
"""Seconds in which the head node must have taken a secret."""


@contextlib.contextmanager
def lent_secrets(settings: Settings) -> Iterator[Settings]:
    """Return settings that name a file in this process's memory where the secrets of the state stood by value.

    The files can be read by this user's processes as long as the block goes on, so the Controller must not outlive it.
    """
    with contextlib.ExitStack() as stack:
        yield _with_files(
            settings,
            {name: Path(stack.enter_context(secret_file(value))) for name, value in _by_value(settings).items()},
        )


def left_secrets(settings: Settings) -> Settings:
    """Return settings that name a file of the head node where the secrets of the state stood by value.

    The files stay there, so the Controller may outlive this process; Ray must have been initialised.

    Raises:
        ServerUnavailable: If the head node cannot keep them.
    """
    files: dict[str, Path] = {}
    for name, value in _by_value(settings).items():
        place = settings.without_secrets()
        # An argument of a task goes straight to the process that runs it, unlike that of an actor.
        call = ray.remote(num_cpus=0, max_retries=0, resources=HEAD)(keep_secret).remote(place, name, value)  # pyright: ignore[reportCallIssue, reportArgumentType]
        try:
            files[name] = ray.get(call, timeout=TIMEOUT)
        except GetTimeoutError:
            raise ServerUnavailable(
                f"the head node of the Ray cluster has not taken {name} within {TIMEOUT:g} s; look whether it is well, "
                f"or give it in a file there (IOCMNG_{name.upper()}_FILE)"
            ) from None
        except RayError as error:
            raise task_error(error, f"the head node of the Ray cluster cannot take {name}") from None
    return _with_files(settings, files)


def regained_secrets(settings: Settings) -> Settings:
    """Return settings with the secrets of this process's environment where their files are gone.

    A head node that is a new container has lost its memory, and has the environment of the one before.
    """
    changes: dict[str, Any] = {}
    for name in NAMES:
        file: Path | None = getattr(settings, f"{name}_file")
        value = os.environ.get(f"IOCMNG_{name.upper()}")
        if value and file is not None and not file.exists():
            changes |= {name: SecretStr(value), f"{name}_file": None}
    return settings.model_copy(update=changes)


def _by_value(settings: Settings) -> dict[str, str]:
    given: dict[str, SecretStr | None] = {name: getattr(settings, name) for name in NAMES}
    values = {name: secret.get_secret_value() for name, secret in given.items() if secret}
    # One with blanks around it would be another one when it is read from a file.
    return {name: value for name, value in values.items() if value == value.strip()}


def _with_files(settings: Settings, files: dict[str, Path]) -> Settings:
    return settings.model_copy(update=dict.fromkeys(files) | {f"{name}_file": file for name, file in files.items()})
