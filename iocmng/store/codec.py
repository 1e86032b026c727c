"""What stands in the tables, as the dataclasses of core, and back.

Specs and entries are written by their fields, whatever these are: a field that core gets is kept without a change here,
and a release that does not know it refuses to read it rather than to lose it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from iocmng.core.source import GitSource, LocalSource
from iocmng.core.spec import FilesRef, PluginSpec
from iocmng.core.state import Cause, Event, Generation, GenerationResult, PluginEntry
from iocmng.errors import StateUnavailable

_SOURCES: dict[str, type[GitSource | LocalSource]] = {"git": GitSource, "local": LocalSource}
_READERS: dict[type[Any], TypeAdapter[Any]] = {
    cls: TypeAdapter(cls) for cls in (GitSource, LocalSource, FilesRef, PluginSpec, PluginEntry)
}


def entry_row(entry: PluginEntry) -> dict[str, Any]:
    """Return the row of a plugin."""
    data = dataclasses.asdict(entry)
    del data["newest"]
    data["spec"] = _spec_data(entry.spec)
    return {"name": entry.spec.name, "newest": entry.newest, "entry": json.dumps(data)}


def entry_of(row: Mapping[Any, Any]) -> PluginEntry:
    """Return the plugin of a row."""
    what = f"plugin {row['name']}"
    data = json_object(row["entry"], what)
    return _read(PluginEntry, {**data, "newest": row["newest"], "spec": _spec(data.get("spec"), what)}, what)


def generation_row(generation: Generation) -> dict[str, Any]:
    """Return the row of a generation."""
    return {
        "plugin": generation.plugin,
        "number": generation.number,
        "cause": generation.cause.value,
        "at": generation.at,
        "spec": json.dumps(_spec_data(generation.spec)),
        "result": generation.result.value,
        "message": readable(generation.message),
    }


def generation_of(row: Mapping[Any, Any]) -> Generation:
    """Return the generation of a row."""
    what = f"generation {row['number']} of plugin {row['plugin']}"
    spec = _spec(json_object(row["spec"], what), what)
    try:
        cause, result = Cause(row["cause"]), GenerationResult(row["result"])
    except ValueError as error:
        raise unreadable(what, str(error)) from error
    return Generation(row["plugin"], row["number"], cause, row["at"], spec, result, row["message"])


def event_row(event: Event) -> dict[str, Any]:
    """Return the row of an event."""
    row = dataclasses.asdict(event)
    return {key: readable(value) if isinstance(value, str) else value for key, value in row.items()}


def event_of(row: Mapping[Any, Any]) -> Event:
    """Return the event of a row."""
    return Event(**row)


def _spec_data(spec: PluginSpec) -> dict[str, Any]:
    data = dataclasses.asdict(spec)
    data["source"]["type"] = next(name for name, source in _SOURCES.items() if isinstance(spec.source, source))
    return data


def _spec(data: Any, what: str) -> PluginSpec:
    try:
        fields, source, files = dict(data), dict(data["source"]), data.get("files")
        kind = _SOURCES[source.pop("type")]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise unreadable(what, "this release does not know the type of its source") from None
    fields["source"] = _read(kind, source, what)
    fields["files"] = None if files is None else _read(FilesRef, files, what)
    return _read(PluginSpec, fields, what)


def _read(cls: type[Any], data: Any, what: str) -> Any:
    """Make an object from its fields; one that this release does not know may be what matters, and is an error."""
    if not isinstance(data, Mapping):
        raise unreadable(what, "a part of it is no JSON object")
    if unknown := set(data) - {item.name for item in dataclasses.fields(cls)}:
        names = ", ".join(sorted(unknown))
        raise unreadable(what, f"this release does not know {names}; a newer one may have written it")
    try:
        return _READERS[cls].validate_python(data)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) or "all of it" for item in error.errors())
        raise unreadable(what, f"it does not fit: {places}") from None


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return a JSON object.

    Objects are kept as JSON in ASCII, which every database takes, also a NUL or half a surrogate pair, as escapes.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(what, f"it is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise unreadable(what, "it is no JSON object")
    return cast("dict[str, Any]", data)


def unreadable(what: str, why: str) -> StateUnavailable:
    """Return the error for what this release cannot read."""
    return StateUnavailable(
        f"the state of {what} cannot be read: {why}. Use the release that wrote it, or stop the server and restore a "
        "copy of the state"
    )


def readable(text: str) -> str:
    """Return a sentence without what a database's text cannot hold; it may quote an author's exception."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
