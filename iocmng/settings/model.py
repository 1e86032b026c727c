"""The one object that holds all settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from iocmng.core.beamline_devices import read_devices
from iocmng.core.devices import DeviceTable
from iocmng.settings.processes import (
    LoadingSettings,
    PluginSettings,
    RaySettings,
    RunSettings,
    SupervisionSettings,
)
from iocmng.settings.site import ApiSettings, EpicsSettings, SiteSettings, SourceSettings
from iocmng.settings.yaml_file import read_yaml


# The fields of the last base come first, here as on the page that lists them.
class Settings(
    SupervisionSettings,
    RunSettings,
    LoadingSettings,
    PluginSettings,
    RaySettings,
    EpicsSettings,
    ApiSettings,
    SourceSettings,
    SiteSettings,
):
    """Settings of the server. Each is also IOCMNG_ and its name in upper case in the environment."""

    @model_validator(mode="after")
    def _resolved(self) -> Self:
        # Frozen for everyone else: what depends on other settings is decided once.
        roots = self.local_roots if self.local_roots is not None else (Path.cwd(), self.plugins_dir)
        values = {
            "state_dir": self.state_dir or self.plugins_dir / ".iocmng",
            "local_roots": tuple(root.resolve() for root in roots),
            "host": self.host or ("0.0.0.0" if self.asks_who or self.allow_unauthenticated else "127.0.0.1"),
            "requirements_build": self._builds if self.requirements_build is None else self.requirements_build,
            "ray_address": self.ray_address or os.environ.get("RAY_ADDRESS") or None,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def _builds(self) -> bool:
        return self.plugin_user is None and self.plugin_uids is None

    def without_callers(self) -> Settings:
        """Return the settings as processes may have them that take no calls: they need not know who may call."""
        oidc: dict[str, Any] = {"oidc_issuer": None, "oidc_audience": None, "oidc_jwks_url": None, "oidc_roles": {}}
        return self.with_token(None).model_copy(update={"tokens_file": None, **oidc})

    def without_secrets(self) -> Settings:
        """Return the settings as processes may have them that need no secret of the server."""
        secrets = ("state_url", "state_url_file", "state_key", "state_key_file")
        return self.without_callers().model_copy(update=dict.fromkeys(secrets))

    def beamline(self) -> dict[str, Any]:
        """Return the contents of the beamline file, or nothing where none is set.

        Raises:
            InvalidRequest: If it cannot be read.
        """
        return read_yaml(self.beamline_config) if self.beamline_config else {}

    def device_table(self, beamline: Mapping[str, Any]) -> DeviceTable:
        """Return the ophyd devices that the beamline file, given its contents, describes; none if they are off."""
        return DeviceTable() if self.disable_ophyd else read_devices(beamline)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read flags first and the environment second; load_settings adds the file."""
        return init_settings, env_settings
