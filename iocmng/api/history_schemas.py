"""Answers that tell of the past: generations and events."""

from __future__ import annotations

from typing import Any, Literal

from iocmng.api.schemas import Answer, PluginStatusWord
from iocmng.core.state import Cause, GenerationResult


class GenerationObject(Answer):
    """One attempt to bring a plugin into being."""

    generation: int
    cause: Cause
    at: str
    """When it ended, ISO 8601."""
    commit: str | None
    """Commit it was started from; where it did not come that far, the one that was asked for."""
    branch: str | None
    git_url: str | None
    local_path: str | None
    path: str
    parameters: dict[str, Any]
    """Those of the add, and of changes since."""
    result: GenerationResult
    message: str
    """Why it failed, or where a rollback went to."""
    current: bool
    """Whether the plugin is of this generation now."""


class GenerationList(Answer):
    """A plugin's generations, newest first."""

    name: str
    generations: list[GenerationObject]
    count: int


class EventObject(Answer):
    """One change of a plugin's state."""

    id: int
    """Rises with every event."""
    time: str
    """ISO 8601."""
    plugin: str
    status: Literal[PluginStatusWord, "removed"]
    previous: str | None
    """The status before; null for the first."""
    reason: str
    generation: int
    node: str | None
    """Machine that its process runs on."""


class EventList(Answer):
    """Events of all plugins or of some, oldest first."""

    events: list[EventObject]
    count: int


class PluginEventList(EventList):
    """A plugin's events, oldest first; they outlive the plugin."""

    name: str
