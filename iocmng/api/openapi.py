"""Prints the OpenAPI document: python -m iocmng.api.openapi > docs/openapi.json."""

from __future__ import annotations

import json
import sys
from typing import Any

from iocmng.api.app import create_app
from iocmng.core.ports.controller import ControllerClient
from iocmng.settings import Settings


def openapi_document() -> dict[str, Any]:
    """Return the document; nothing is started for it."""
    return create_app(Settings(), _never).openapi()


async def _never() -> ControllerClient:
    raise AssertionError("the document is made without a Controller")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n")
