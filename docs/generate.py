"""Writes the parts of docs/reference that repeat the code: settings, config.yaml, PVs, errors, author's API, calls.

    .venv/bin/python docs/generate.py            write them anew
    .venv/bin/python docs/generate.py --check    only tell which are out of date (exit status 1)

A page keeps its own words; what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is written by the function
that PARTS has under this name.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

import iocmng
import pytest_iocmng
from iocmng import errors, testing
from iocmng.base.plugin import LocalPv, PluginBase
from iocmng.cli import main as command_line
from iocmng.client import Client
from iocmng.core.builtin_pvs import Kind, Mode, builtin_pvs
from iocmng.core.functions import register
from iocmng.core.manifest import json_schema
from iocmng.core.metrics import METRICS, MetricKind
from iocmng.core.pv_fields import Direction
from iocmng.core.pvs import BoolPv, DeclaredPv, EnumPv, IntPv
from iocmng.core.request import PluginRequest, plugins_file_schema
from iocmng.epics.records import record_type
from iocmng.settings import Settings

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
TEMPLATE = DOCS.parent / "plugins_template" / "project"
COMMAND = ".venv/bin/python docs/generate.py"

# The defaults that the machine decides.
_DEFAULTS = {"plugins_dir": "`/data/plugins` where it can be written, else `~/.local/share/iocmng/plugins`"}

_PARAMETER_MODELS = (
    "FloatParameter",
    "IntParameter",
    "BoolParameter",
    "StringParameter",
    "ListParameter",
    "ObjectParameter",
)

_PV_MODELS = ("FloatPv", "IntPv", "BoolPv", "StringPv", "EnumPv")

_CALL_GROUPS = (
    ("Add and remove", ("add_", "remove_", "apply")),
    ("Replace", ("restart_", "change_", "roll_back_")),
    ("Start and stop", ("start_", "stop_")),
    ("Run a job", ("run_", "cancel_")),
    ("Look", ("list_", "get_", "health", "livez", "readyz", "events", "audit")),
)

Schema = Mapping[str, Any]


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def one_line(text: str | None) -> str:
    """Return a docstring on one line."""
    return " ".join((text or "").split())


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """Follow a reference inside a JSON Schema."""
    while "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def values(schema: Schema, definitions: Schema) -> str:
    """Say in a few words what values a key takes."""
    schema = resolved(schema, definitions)
    if "anyOf" in schema:
        kinds = [values(part, definitions) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    match schema.get("type"):
        case "integer" | "number" as kind:
            return _number(schema, "whole number" if kind == "integer" else "number")
        case "boolean":
            return "true or false"
        case "string":
            return f"text, up to {schema['maxLength']} characters" if "maxLength" in schema else "text"
        case "array":
            return f"list of: {values(schema['items'], definitions)}" if schema.get("items") else "list"
        case _:
            return "mapping"


def _number(schema: Schema, word: str) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if (least, most) == (-(2**31), 2**31 - 1):
        return f"{word}, 32 bits"
    above = f" above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else ""
    if least is not None and most is not None:
        return f"{word}, {least} to {most}"
    least_words = f", at least {least}" if least is not None else ""
    most_words = f", at most {most:g}" if most is not None else ""
    return f"{word}{above}{least_words}{most_words}"


def default(schema: Schema, name: str, required: Iterable[str]) -> str:
    """Return a key's default as it would be written in YAML."""
    if name in required:
        return "must be given"
    value = schema.get("default")
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case "" | {} | []:
            return "empty"
        case str() | int() | float():
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        case _:
            return "none"


def keys(model: Schema, definitions: Schema, leave_out: Iterable[str] = ()) -> str:
    """Return the table of a model's keys."""
    required = model.get("required", ())
    rows = [
        (
            f"`{name}`",
            values(schema, definitions),
            default(schema, name, required),
            one_line(resolved(schema, definitions).get("description")),
        )
        for name, schema in model["properties"].items()
        if name not in leave_out
    ]
    return table(("Key", "Value", "Default", "Meaning"), rows)


def settings_part() -> str:
    """Return the table of all settings."""
    schema = Settings.model_json_schema()
    definitions = schema.get("$defs", {})
    rows = [
        (
            f"`IOCMNG_{name.upper()}`",
            _setting_values(name, field, definitions),
            _DEFAULTS.get(name) or default(field, name, ()),
            one_line(field.get("description")),
        )
        for name, field in schema["properties"].items()
    ]
    return table(("Variable", "Value", "Default", "Meaning"), rows)


def _setting_values(name: str, field: Schema, definitions: Schema) -> str:
    if name == "local_roots":
        return "directories, joined by `:`"
    formats = {part.get("format") for part in [field, *field.get("anyOf", [])]}
    return "path" if "path" in formats else values(field, definitions)


def config_part() -> str:
    """Return the tables of config.yaml's sections."""
    schema = json_schema()
    definitions = schema["$defs"]
    sections = {
        "The file": schema,
        "parameters": definitions["Parameters"],
        "pvs": definitions["PvSections"],
        "watchdog": definitions["Watchdog"],
        "schedule": definitions["ScheduleSection"],
    }
    return "\n\n".join(
        f"## {f'`{title}`' if title != 'The file' else title}\n\n{keys(model, definitions)}"
        for title, model in sections.items()
    )


def pv_types_part() -> str:
    """Return the tables of the PV types."""
    definitions = json_schema()["$defs"]
    alarms = [name for name in ("Alarms", "IntAlarms") if name in definitions]
    parts = [
        f"### `type: {model['properties']['type']['const']}`\n\n{one_line(model['description'])}\n\n"
        f"{keys(model, definitions, ('type',))}"
        for model in (definitions[name] for name in _PV_MODELS)
    ]
    alarm_keys = keys(definitions[alarms[0]], definitions)
    return "\n\n".join([*parts, f"### `alarms`\n\n{one_line(definitions[alarms[0]]['description'])}\n\n{alarm_keys}"])


def parameter_types_part() -> str:
    """Return the tables of the types of declared parameters."""
    definitions = json_schema()["$defs"]
    parts: list[str] = []
    for model in (definitions[name] for name in _PARAMETER_MODELS):
        kind = model["properties"]["type"]
        words = " or ".join(f"`type: {word}`" for word in kind.get("enum") or [kind["const"]])
        parts.append(f"### {words}\n\n{one_line(model['description'])}\n\n{keys(model, definitions, ('type',))}")
    return "\n\n".join(parts)


def builtin_part() -> str:
    """Return the tables of the built-in PVs."""
    modes = {mode: {pv.name: pv for pv in builtin_pvs(Kind.TASK, mode)} for mode in Mode}
    names = list(dict.fromkeys(name for pvs in modes.values() for name in pvs))
    rows = []
    for name in names:
        having = [mode for mode, pvs in modes.items() if name in pvs]
        pv = modes[having[0]][name]
        rows.append((*_pv_cells(pv), "all" if len(having) == len(Mode) else ", ".join(having)))
    tasks = table(("PV", "Record", "Clients", "Values", "Meaning", "Mode"), rows)
    jobs = table(
        ("PV", "Record", "Clients", "Values", "Meaning"),
        (_pv_cells(pv) for pv in builtin_pvs(Kind.JOB, Mode.CONTINUOUS)),
    )
    return f"### Every task\n\n{tasks}\n\n### Every job\n\n{jobs}"


def _pv_cells(declared: DeclaredPv) -> tuple[str, ...]:
    match declared.pv:
        case BoolPv() as pv:
            shown = f"{pv.znam}, {pv.onam}; at first {pv.onam if pv.value else pv.znam}"
        case EnumPv() as pv:
            shown = ", ".join(
                f"{state} ({pv.state_severities[state].value})" if state in pv.state_severities else state
                for state in pv.states
            )
        case IntPv() as pv:
            shown = f"whole number{f', {pv.unit}' if pv.unit else ''}"
        case _:
            shown = "text"
    access = "read and write" if declared.direction is Direction.INPUT else "read"
    return f"`{declared.name}`", record_type(declared), access, shown, declared.pv.desc


def errors_part() -> str:
    """Return the table of all errors."""
    rows = [
        (f"`{cls.code}`", str(cls.http_status), f"`{cls.__name__}`", one_line((cls.__doc__ or "").partition("\n\n")[0]))
        for cls in _tree(errors.IocmngError)
        if "code" in vars(cls)
    ]
    return table(("Code", "HTTP", "Python", "Meaning"), rows)


def _tree(cls: type[errors.IocmngError]) -> Iterator[type[errors.IocmngError]]:
    yield cls
    for below in cls.__subclasses__():
        yield from _tree(below)


def author_part() -> str:
    """Return the author's API, from its docstrings."""
    classes = {
        "What tasks and jobs share": PluginBase,
        "`TaskBase`": iocmng.TaskBase,
        "`JobBase`": iocmng.JobBase,
        f"`JobResult{_signature(iocmng.JobResult)}`": iocmng.JobResult,
        "`DeclarativeTask`": iocmng.DeclarativeTask,
        '`self.pvs["NAME"]`': LocalPv,
        f"`TemporaryError{_signature(iocmng.TemporaryError)}`": iocmng.TemporaryError,
        f"`PermanentError{_signature(iocmng.PermanentError)}`": iocmng.PermanentError,
        f"`ItemFailed{_signature(iocmng.ItemFailed)}`": iocmng.ItemFailed,
        f"`Cancelled{_signature(iocmng.Cancelled)}`": iocmng.Cancelled,
    }
    functions = [
        _method("pv_client.get", iocmng.pv_client.get),
        _method("pv_client.put", iocmng.pv_client.put),
        _method("register", register),
    ]
    return "\n\n".join([*(_class(title, cls) for title, cls in classes.items()), "## Functions", *functions])


def testing_part() -> str:
    """Return the testing kit, from its docstrings."""
    fixtures = [_fixture(name, getattr(pytest_iocmng, name)) for name in ("run_plugin", "ioc")]
    classes = (
        *(testing.PluginHarness, testing.FakePv, testing.FakePvs, testing.FakePvClient, testing.FakeClock),
        *(testing.IocProcess, testing.Reading),
    )
    return "\n\n".join(["## Fixtures", *fixtures, *(_testing_class(cls) for cls in classes)])


def _fixture(name: str, fixture: Any) -> str:
    text, _ = _parsed(fixture)
    return f"### `{name}`\n\n{text}"


def _testing_class(cls: type) -> str:
    text, sections = _parsed(cls)
    own = list(sections.get("Attributes", ()))
    own += [
        (name, one_line((value.fget.__doc__ or "").partition("\n\n")[0]))
        for name, value in vars(cls).items()
        if isinstance(value, property) and not name.startswith("_")
    ]
    lines = [f"## `{cls.__name__}`", text, _entries("Arguments", sections.get("Args"))]
    lines += [table(("Attribute", "Meaning"), ((f"`{name}`", words) for name, words in own))] if own else []
    lines += [_entries("Raises", sections.get("Raises"))]
    lines += [_method(name, function, _aliases(cls, function)) for name, function in _methods(cls)]
    return "\n\n".join(line for line in lines if line)


def _entries(title: str, entries: Iterable[tuple[str, str]] | None) -> str:
    return f"{title}:\n\n" + "\n".join(f"- `{word}`: {words}" for word, words in entries) if entries else ""


def _class(title: str, cls: type) -> str:
    text, sections = _parsed(cls)
    lines = [f"## {title}", text]
    if attributes := sections.get("Attributes"):
        lines.append(table(("Attribute", "Meaning"), ((f"`{name}`", words) for name, words in attributes)))
    if not issubclass(cls, iocmng.DeclarativeTask | Exception):
        lines += [_method(name, function, _aliases(cls, function)) for name, function in _methods(cls)]
    return "\n\n".join(lines)


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods that a class itself defines, but those that only the framework calls."""
    for name, function in vars(cls).items():
        inner = function.__func__ if isinstance(function, staticmethod) else function
        is_shown = inspect.isfunction(inner) and inner.__name__ == name and not name.startswith("_")
        # What is abstract in the common base is told of in TaskBase and JobBase.
        is_elsewhere = name == "bind_runtime" or (cls is PluginBase and name in PluginBase.__abstractmethods__)
        if is_shown and not is_elsewhere:
            yield name, inner


def client_part() -> str:
    """Return the methods of the Python client, from its docstrings."""
    public = [(name, method) for name, method in vars(Client).items() if not name.startswith("_")]
    methods = [(name, method) for name, method in public if inspect.isfunction(method) and name != "send"]
    parts = [_method(f"Client{_signature(Client)}", Client.__init__, with_signature=False)]
    return "\n\n".join([*parts, *(_method(name, method) for name, method in methods)])


def _aliases(cls: type, function: Any) -> str:
    names = [name for name, value in vars(cls).items() if value is function and name != function.__name__]
    return f"Also: {', '.join(f'`{name}()`' for name in names)}." if names else ""


def _method(name: str, function: Any, remark: str = "", *, with_signature: bool = True) -> str:
    text, sections = _parsed(function)
    lines = [f"### `{name}{_signature(function) if with_signature else ''}`", text, remark]
    lines += [
        f"{title}\n\n" + "\n".join(f"- `{word}`: {words}" for word, words in sections[section])
        for section, title in (("Args", "Arguments:"), ("Raises", "Raises:"))
        if section in sections
    ]
    return "\n\n".join(line for line in lines if line)


def _signature(function: Any) -> str:
    """Return the arguments as an author writes them, and what comes back."""
    signature = inspect.signature(function)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    shown = str(signature.replace(parameters=parameters)).removesuffix(" -> None")
    shown = re.sub(r"<factory>", "...", shown).removesuffix(" -> 'None'")
    shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", shown).replace("''", '""')
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(\w+)", r"\1", shown)


def _parsed(thing: Any) -> tuple[str, dict[str, list[tuple[str, str]]]]:
    """Return a docstring's text, and its sections as pairs of word and meaning."""
    text = inspect.cleandoc(thing.__doc__ or "")
    pieces = re.split(r"^(Args|Attributes|Raises|Returns|Example):\n", text, flags=re.MULTILINE)
    sections: dict[str, list[tuple[str, str]]] = {}
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        entries = re.split(r"^    (?=\S)", body, flags=re.MULTILINE)[1:]
        sections[title] = [(word, one_line(words)) for word, _, words in (entry.partition(":") for entry in entries)]
    return pieces[0].strip(), sections


def calls_part() -> str:
    """Return the tables of REST calls, from docs/openapi.json."""
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    calls = [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    parts: list[str] = []
    shown: set[str] = set()
    for title, starts in _CALL_GROUPS:
        rows = []
        for method, path, operation in calls:
            if operation["operationId"].startswith(starts):
                shown.add(operation["operationId"])
                rows.append(_call_cells(method, path, operation))
        parts.append(f"### {title}\n\n{table(('Call', 'Does', 'Success', 'Errors'), sorted(rows))}")
    missing = {operation["operationId"] for _, _, operation in calls} - shown
    if missing:
        raise SystemExit(f"docs/generate.py: add {', '.join(sorted(missing))} to _CALL_GROUPS")
    return "\n\n".join(parts)


def _call_cells(method: str, path: str, operation: Schema) -> tuple[str, ...]:
    query = [f"`?{word['name']}=`" for word in operation.get("parameters", ()) if word["in"] == "query"]
    codes = sorted(operation["responses"])
    return (
        f"`{method} {path.removeprefix('/api/v1')}`",
        operation["summary"] + (f" ({', '.join(query)})" if query else ""),
        ", ".join(code for code in codes if code < "400"),
        ", ".join(code for code in codes if code >= "400"),
    )


def add_body_part() -> str:
    """Return the table of the add body's keys."""
    schema = PluginRequest.model_json_schema()
    return keys(schema, schema.get("$defs", {}))


def plugin_object_part() -> str:
    """Return the table of the plugin object's keys, from docs/openapi.json."""
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    rows = [
        (f"`{name}`", _object_values(schema, schemas), one_line(resolved(schema, schemas).get("description")))
        for name, schema in schemas["PluginObject"]["properties"].items()
    ]
    return table(("Key", "Value", "Meaning"), rows)


def _object_values(schema: Schema, definitions: Schema) -> str:
    nullable = any(part.get("type") == "null" for part in schema.get("anyOf", ()))
    return values(schema, definitions) + (", or null" if nullable else "")


def commands_part() -> str:
    """Return the options of all commands."""
    group: Any = typer.main.get_command(command_line.app)
    alias: Any = typer.main.get_command(command_line.run_app)
    commands = dict(_commands("iocmng", group)) | {"iocmng-run": alias}
    shared = [parameter for parameter in commands["iocmng list"].params if parameter.name in _COMMON]
    intro = "Every command that speaks to a server also takes:"
    return "\n\n".join(
        [
            f"### Options of many commands\n\n{intro}\n\n{_option_table(shared)}",
            *(_command(name, command) for name, command in commands.items()),
        ]
    )


_COMMON = frozenset({"url", "token_file", "cluster", "as_json"})


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield all commands with their whole names, those of groups included."""
    for word, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from _commands(f"{name} {word}", below)
        else:
            yield f"{name} {word}", below


def _options(command: Any) -> set[str]:
    return {parameter.name for parameter in command.params}


def _command(name: str, command: Any) -> str:
    # A command that speaks to no server may have one of the common options, and shows it.
    left_out = _COMMON if _options(command) >= _COMMON else frozenset[str]()
    parameters = [parameter for parameter in command.params if parameter.name not in left_out]
    return f"### `{name}`\n\n{command.help}\n\n{_option_table(parameters)}"


def _option_table(parameters: Iterable[Any]) -> str:
    rows = [
        (
            ", ".join(f"`{option}`" for option in getattr(parameter, "opts", [parameter.name]))
            if parameter.param_type_name == "option"
            else f"`{parameter.metavar or parameter.name}`",
            "yes" if parameter.required else "no",
            getattr(parameter, "help", "") or "",
        )
        for parameter in parameters
        if parameter.name not in ("help", "install_completion", "show_completion")
    ]
    return table(("Option", "Needed", "Meaning"), rows) if rows else "It takes no options of its own."


def metrics_part() -> str:
    """Return the table of all metrics."""
    rows = [
        (f"`ray_{metric.name}`", metric.kind.value, metric.unit, _code(metric.tags), metric.meaning)
        for metric in METRICS
    ]
    histograms = [metric for metric in METRICS if metric.kind is MetricKind.HISTOGRAM]
    bounds = [(f"`ray_{metric.name}`", ", ".join(f"{bound:g}" for bound in metric.bounds)) for metric in histograms]
    heads = ("Name", "Type", "Unit", "Tags", "Meaning")
    return f"{table(heads, rows)}\n\n### Buckets\n\n{table(('Histogram', 'Upper bounds, in seconds'), bounds)}"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_part,
    "config": config_part,
    "pv-types": pv_types_part,
    "parameter-types": parameter_types_part,
    "built-in": builtin_part,
    "errors": errors_part,
    "author": author_part,
    "testing": testing_part,
    "client": client_part,
    "calls": calls_part,
    "add-body": add_body_part,
    "plugin-object": plugin_object_part,
    "commands": commands_part,
    "metrics": metrics_part,
}

_PART = re.compile(r"(<!-- begin (?P<name>[\w-]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


def rendered() -> dict[Path, str]:
    """Return every file that this script writes, with the contents it should have."""
    config, plugins = (json.dumps(schema, indent=2) + "\n" for schema in (json_schema(), plugins_file_schema()))
    files = {
        REFERENCE / "config.schema.json": config,
        TEMPLATE / "config.schema.json": config,
        REFERENCE / "plugins.schema.json": plugins,
    }
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _PART.search(text):
            files[page] = _PART.sub(lambda match: f"{match[1]}\n{PARTS[match['name']]()}\n\n{match[3]}", text)
    return files


def stale() -> list[Path]:
    """Return the files that are not as they should be."""
    return [path for path, text in rendered().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main() -> int:
    """Write the files, or tell which are out of date."""
    if sys.argv[1:] == ["--check"]:
        behind = stale()
        for path in behind:
            sys.stderr.write(f"{path.relative_to(DOCS.parent)} is out of date: run {COMMAND}\n")
        return 1 if behind else 0
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
