"""What release 2.7 kept in its plugins directory, taken over once.

autostart_plugins.yaml        `plugins`: the tasks that were to start with the server, with parameters and PAT in clear
NAME/.iocmng-plugin.json      where the files of a staged plugin came from, without parameters and PAT

A plugin of the first file runs. One that is only staged was listed, and did not run before somebody added it again; it
is taken over with its cycles stopped, unless it was to start with the server, which release 2.7 forgot for jobs.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml
from pydantic import ValidationError

from iocmng.core.request import PluginRequest
from iocmng.core.source import check_source
from iocmng.core.state import PluginEntry
from iocmng.errors import InvalidRequest, PluginRejected
from iocmng.settings import Settings
from iocmng.store.store import SqlStateStore

REGISTRY = "autostart_plugins.yaml"
METADATA = ".iocmng-plugin.json"

NOTE = "imported_from_2.7"
"""Note that is there once the old files have been taken over."""

# What a staged plugin's file says and a request does not ask for.
_IGNORED = {"plugin_type", "class_name"}


def import_legacy_once(store: SqlStateStore, settings: Settings) -> list[str]:
    """Take over what release 2.7 has left in the plugins directory, if that has not been done before.

    The old files stay as they are. A name that the store knows is left alone.

    Returns:
        What people should know of it, in sentences.

    Raises:
        StateUnavailable: If the store cannot be written; the next call goes on where this one has ended.
    """
    directory = settings.plugins_dir
    if store.note(NOTE) is not None or not _has_legacy(directory):
        return []
    try:
        requests, sentences = read_legacy(directory)
    except InvalidRequest as error:
        return [f"{error}; until it is right or gone, nothing of release 2.7 is taken over: correct it and start again"]
    known = {entry.spec.name for entry in store.load().entries}
    for request in requests:
        if request.name in known:
            sentences.append(f"plugin {request.name} is there already; what release 2.7 says of it was left out")
            continue
        if request.credential is not None:
            store.set_credential(request.name, request.credential)
        store.save(PluginEntry(request.spec(None)))
    store.set_note(NOTE, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    return sentences


def read_legacy(plugins_dir: Path) -> tuple[list[PluginRequest], list[str]]:
    """Read what release 2.7 has left in its plugins directory.

    Returns:
        The plugins, by name, and sentences on what does not fit, was lost, or should be done.

    Raises:
        InvalidRequest: If autostart_plugins.yaml as a whole cannot be read.
    """
    sentences: list[str] = []
    registry = plugins_dir / REGISTRY
    entries = _registry(registry, sentences)
    requests = {name: _request(registry, entry, sentences) for name, entry in entries.items() if _has_source(entry)}
    for name, file in _staged(plugins_dir):
        if name in requests:
            continue
        metadata = _metadata(file, sentences)
        if name in entries:  # it was added again without a source, as the dashboard does; parameters are in the entry
            requests[name] = _request(registry, metadata | _given(entries[name]), sentences)
        elif metadata:
            starts = bool(metadata.get("auto_start_on_boot"))
            boot = {"name": name, "auto_start": starts, "auto_start_on_boot": starts}
            requests[name] = _request(file, metadata | boot, sentences)
            if requests[name]:
                sentences.append(_about_staged(file, name, starts))
    for name in entries.keys() - requests.keys():
        requests[name] = _request(registry, entries[name], sentences)  # it tells what is missing
    return [request for _, request in sorted(requests.items()) if request is not None], sentences


def _has_source(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("git_url") or entry.get("local_path"))


def _given(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set in an entry; in release 2.7 an empty text asked for what the staged plugin said."""
    return {key: value for key, value in entry.items() if value not in (None, "")}


def _has_legacy(plugins_dir: Path) -> bool:
    return (plugins_dir / REGISTRY).is_file() or any(_staged(plugins_dir))


def _staged(plugins_dir: Path) -> Iterator[tuple[str, Path]]:
    """Yield the staged plugins that are described, by directory; a restart that was cut short left __reload__…."""
    try:
        directories = sorted(plugins_dir.iterdir())
    except OSError:
        return
    for directory in directories:
        if not directory.name.startswith((".", "__reload__")) and (directory / METADATA).is_file():
            yield directory.name, directory / METADATA


def _registry(file: Path, sentences: list[str]) -> dict[str, dict[str, Any]]:
    """Return the entries of autostart_plugins.yaml by name; release 2.7 took the first one of a name."""
    if not file.is_file():
        return {}
    data = _load(file)
    listed: Any = cast("dict[str, Any]", data).get("plugins") or [] if isinstance(data, dict) else data or []
    if not isinstance(listed, list):
        raise InvalidRequest(f"{file}: `plugins` must be a list")
    if any(cast("dict[str, Any]", entry).get("pat") for entry in cast("list[Any]", listed) if isinstance(entry, dict)):
        sentences.append(
            f"{file} holds credentials in clear: delete the `pat` entries there, or the file, and have those "
            "credentials replaced where they were issued"
        )
    entries: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(cast("list[Any]", listed), 1):
        name: Any = cast("dict[str, Any]", entry).get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            sentences.append(f"{file}, entry {number} was left out: it has no name")
        elif name in entries:
            sentences.append(f"{file}, entry {number} was left out: there is a plugin {name[:140]!r} before it")
        else:
            entries[name] = dict(entry)
    return entries


def _metadata(file: Path, sentences: list[str]) -> dict[str, Any]:
    """Return what a staged plugin's file says, by the names of a request."""
    try:
        data = _load(file)
    except InvalidRequest as error:
        sentences.append(f"{error}; its plugin was left out")
        return {}
    if not isinstance(data, dict):
        sentences.append(f"{file} was left out: it holds no object")
        return {}
    fields = {key: value for key, value in cast("dict[str, Any]", data).items() if key not in _IGNORED}
    if "source_path" in fields:
        fields["path"] = fields.pop("source_path")
    return fields


def _load(file: Path) -> Any:
    """Read YAML or JSON; the text of an error never quotes the file, there may be a PAT in the line at fault."""
    try:
        text = file.read_text(encoding="utf-8")
        return json.loads(text) if file.name == METADATA else yaml.safe_load(text)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else getattr(error, "lineno", None)
        raise InvalidRequest(f"{file} is not valid{f' in line {line}' if line else ''}") from None


def _about_staged(file: Path, name: str, starts: bool) -> str:
    stopped = "" if starts else f"; its cycles are stopped, as before: POST /plugins/{name}/start starts them"
    return (
        f"{file}: release 2.7 kept neither parameters nor pat of {name}; where it had some, give them again with "
        f"PATCH /plugins/{name}{stopped}"
    )


def _request(file: Path, entry: Mapping[str, Any], sentences: list[str]) -> PluginRequest | None:
    """Return an entry as a request, or None and a sentence why it is none."""
    place = f"{file}, plugin {entry['name'][:140]!r}"
    fields = _fitted(place, entry, sentences)
    try:
        request = PluginRequest.model_validate(fields)
        check_source(request.source)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "entry"
        sentences.append(f"{place} was left out: {where}: {first['msg'].removeprefix('Value error, ')}")
    except PluginRejected as error:
        sentences.append(f"{place} was left out: {error.failures[0].message}")
    else:
        return request
    return None


def _fitted(place: str, entry: Mapping[str, Any], sentences: list[str]) -> dict[str, Any]:
    """Return an entry's fields as a request has them."""
    fields = {key: value for key, value in entry.items() if key in PluginRequest.model_fields and value is not None}
    if unknown := [str(key)[:80] for key in entry if key not in PluginRequest.model_fields]:
        sentences.append(f"{place}: {', '.join(unknown)} was left out: not known")
    if fields.get("local_path"):
        if fields.get("git_url"):
            sentences.append(f"{place}: git_url was left out; release 2.7 took local_path where both were given")
        for key in ("git_url", "branch", "commit", "pat", "pat_file", "ssh_key", "ssh_key_file", "require_signed"):
            fields.pop(key, None)
    url, secret = _without_credential(fields.get("git_url"))
    if secret:
        fields |= {"git_url": url, "pat": fields.get("pat") or secret}
        sentences.append(f"{place}: the credential in git_url is kept as `pat`, encrypted; delete it from the file")
    try:
        fields["autostart_order"] = int(fields.get("autostart_order", ""))
    except (ValueError, TypeError, OverflowError):
        if fields.pop("autostart_order", None) is not None:
            sentences.append(f"{place}: autostart_order was left out: it is no whole number")
    return fields


def _without_credential(url: Any) -> tuple[Any, str | None]:
    """Return an https URL without its user and password, and the one of them that is the secret."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme != "https" or "@" not in parts.netloc:
        return url, None
    secret = unquote(parts.password or parts.username or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), secret or None
