"""The plugins as this replica knows them, each encoded once per change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from iocmng.api.json_bytes import encode
from iocmng.core.builtin_pvs import Kind

PluginObjects = Mapping[str, dict[str, Any]]


class PluginTable:
    """Plugin objects by name, their JSON, and answers made of them that hold until the next change.

    A GET costs a look-up and no serialisation; a change costs the encoding of the plugins that changed.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, dict[str, Any]] = {}
        self._json: dict[str, bytes] = {}
        self._answers: dict[Hashable, bytes] = {}

    @property
    def plugins(self) -> PluginObjects:
        """The plugin objects by name; to be read only."""
        return self._plugins

    def replace(self, plugins: Mapping[str, dict[str, Any] | None]) -> None:
        """Forget everything and take these plugins."""
        present = {name: plugin for name, plugin in plugins.items() if plugin is not None}
        self._json = {name: encode(plugin) for name, plugin in present.items()}
        self._plugins = present
        self._answers.clear()

    def update(self, changes: Mapping[str, dict[str, Any] | None]) -> None:
        """Lay the changes over what is known; None removes a plugin."""
        for name, plugin in changes.items():
            if plugin is None:
                self._plugins.pop(name, None)
                self._json.pop(name, None)
            else:
                self._json[name] = encode(plugin)
                self._plugins[name] = plugin
        if changes:
            self._answers.clear()

    def plugin_json(self, name: str) -> bytes:
        """Return the JSON of one plugin.

        Raises:
            KeyError: If there is none of this name.
        """
        return self._json[name]

    def count(self, kind: Kind) -> int:
        """Return how many plugins are of this kind."""
        return sum(plugin.get("plugin_type") == kind for plugin in self._plugins.values())

    def list_json(self, kind: Kind | None) -> bytes:
        """Return the answer that lists all plugins, or those of one kind, sorted by name."""
        return self.answer(("list", kind), lambda: self._joined(kind))

    def answer(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the answer kept under the key, made anew if something has changed since."""
        body = self._answers.get(key)
        if body is None:
            body = self._answers[key] = make()
        return body

    def _joined(self, kind: Kind | None) -> bytes:
        names = sorted(
            name for name, plugin in self._plugins.items() if kind is None or plugin.get("plugin_type") == kind
        )
        listed = b",".join([self._json[name] for name in names])
        return b'{"plugins":[' + listed + b'],"count":' + str(len(names)).encode() + b"}"
