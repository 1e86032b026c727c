"""Where the values of settings come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iocmng.errors import InvalidRequest
from iocmng.settings.model import Settings
from iocmng.settings.yaml_file import read_yaml


def load_settings(config: Path | None = None, **flags: Any) -> Settings:
    """Build the settings from flags, the environment and the file that `config` or IOCMNG_CONFIG names.

    Raises:
        InvalidRequest: If a value does not fit; the text names the setting.
    """
    path = config or (Path(os.environ["IOCMNG_CONFIG"]) if os.environ.get("IOCMNG_CONFIG") else None)
    from_file = {str(name): value for name, value in read_yaml(path).items()} if path else {}
    given = {name: value for name, value in flags.items() if value is not None}
    # What stands in the file counts only where the environment says nothing.
    below = {name: value for name, value in from_file.items() if not os.environ.get(f"IOCMNG_{name.upper()}")}
    try:
        return Settings(**{**below, **given})
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
        )
        raise InvalidRequest(f"settings do not fit: {places}") from error
