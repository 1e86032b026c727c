"""The secrets of the state on their way from the server to its Controller, past Ray's control store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from iocmng.loading.secret_file import secret_file
from iocmng.settings import Settings


@contextlib.contextmanager
def lent_secrets(settings: Settings) -> Iterator[Settings]:
    """Return settings that name a file in this process's memory where the secrets of the state stood by value.

    What an actor gets as an argument, Ray keeps for its restarts, and whoever may speak to Ray may read it there. The
    files can be read by this user's processes as long as the block goes on, so the Controller must not outlive it.
    """
    changes: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for name in ("state_url", "state_key"):
            secret: SecretStr | None = getattr(settings, name)
            # One with blanks around it would be another one when it is read from a file.
            if secret and secret.get_secret_value() == secret.get_secret_value().strip():
                path = stack.enter_context(secret_file(secret.get_secret_value()))
                changes |= {name: None, f"{name}_file": Path(path)}
        yield settings.model_copy(update=changes)
