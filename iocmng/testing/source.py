"""From what a test names, a class or a directory, to a checked class with its config.yaml."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iocmng.base.plugin import PluginBase
from iocmng.core.manifest import CONFIG_FILE_NAMES, Manifest
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.names import check_plugin_name
from iocmng.errors import InvalidRequest
from iocmng.loading.checks import check_syntax, read_manifest
from iocmng.loading.importer import check_class, load_class

Plugin = type[PluginBase] | str | os.PathLike[str]
"""A plugin's class, or its directory."""

Config = Mapping[str, Any] | str | os.PathLike[str]
"""The contents of a config.yaml, or a directory or file that has them."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A class that has passed the checks that a server makes."""

    cls: type[PluginBase]
    manifest: Manifest
    name: str


def load_plugin(plugin: Plugin, config: Config | None = None) -> LoadedPlugin:
    """Return the class with its config.yaml.

    Args:
        plugin: Its class, or its directory.
        config: Instead of the config.yaml beside the plugin.

    Raises:
        PluginRejected: If it fails a check: config, syntax, import, inheritance, abstract methods.
        InvalidRequest: If there is no such directory or file.
    """
    directory = plugin_directory(plugin)
    manifest = read_manifest(directory) if config is None else _manifest(config)
    if isinstance(plugin, type):
        check_class(plugin, manifest, directory)
        cls = plugin
    else:
        check_syntax(directory)
        cls = load_class(str(directory), None, manifest)
    return LoadedPlugin(cls, manifest, _name(directory))


def plugin_directory(plugin: Plugin) -> Path:
    """Return the directory of a plugin.

    Raises:
        InvalidRequest: If there is none.
    """
    if isinstance(plugin, type):
        return Path(inspect.getfile(plugin)).resolve().parent
    directory = Path(plugin).resolve()
    if not directory.is_dir():
        raise InvalidRequest(f"there is no directory {directory}")
    return directory


def config_file(directory: Path) -> Path | None:
    """Return the plugin's config file, if it has one."""
    return next((file for name in CONFIG_FILE_NAMES if (file := directory / name).is_file()), None)


def _manifest(config: Config) -> Manifest:
    if isinstance(config, Mapping):
        return parse_manifest(json.dumps(config), "config")
    path = Path(config)
    if path.is_dir():
        return read_manifest(path)
    try:
        return parse_manifest(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error


def _name(directory: Path) -> str:
    try:
        return check_plugin_name(directory.name)
    except InvalidRequest:
        return "plugin"
