"""The commands. Each loads only what it needs: `iocmng run` and `iocmng version` import neither Ray nor httpx.

Those that speak to a server stand in files of their own: a function there, made a command by `with_server`.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from iocmng._version import __version__
from iocmng.cli import jobs, plugins, tokens, watching
from iocmng.cli.apply import apply
from iocmng.cli.new import TemplateKind
from iocmng.cli.output import Output, print_error
from iocmng.cli.parameters import parse_parameters
from iocmng.errors import InvalidRequest, IocmngError, ServerUnreachable

FAILED, WRONG_USAGE, UNREACHABLE = 1, 2, 3

app = typer.Typer(
    name="iocmng", help="IOC manager for EPICS on Ray.", no_args_is_help=True, pretty_exceptions_enable=False
)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file of settings (IOCMNG_CONFIG).")]
HostOption = Annotated[str | None, typer.Option(help="Address to listen on (IOCMNG_HOST).")]
PortOption = Annotated[int | None, typer.Option(help="Port of the REST API (IOCMNG_PORT).")]
PluginsOption = Annotated[Path | None, typer.Option(help="Plugins to load at the start (IOCMNG_PLUGINS_CONFIG).")]
ServerPrefixOption = Annotated[str | None, typer.Option("--prefix", help="PREFIX of all PVs (IOCMNG_PREFIX).")]
KeepOption = Annotated[
    bool | None, typer.Option("--keep", help="Leave the plugins running when the server ends (IOCMNG_KEEP).")
]
StopOption = Annotated[bool, typer.Option("--stop", help="Stop the plugins that a server with --keep has left.")]
LogLevelOption = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
PvoutOption = Annotated[Path | None, typer.Option(help="File into which the names of all PVs are written.")]


@app.command()
def server(
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    plugins_config: PluginsOption = None,
    prefix: ServerPrefixOption = None,
    log_level: LogLevelOption = None,
    keep: KeepOption = None,
    stop: StopOption = False,
) -> None:
    """Start the server: REST API, Controller, and plugins."""
    from iocmng.cli import ray_environment
    from iocmng.cli.server_log import SERVER_LOG, show_server_log
    from iocmng.settings import load_settings

    flags = {"host": host, "port": port, "plugins_config": plugins_config, "prefix": prefix, "log_level": log_level}
    settings = load_settings(config, keep=keep, **flags)
    show_server_log(settings)
    try:
        ray_environment.prepare(settings)
        from iocmng.cli.server import run_server, stop_kept  # Ray, which reads the environment

        stop_kept(settings) if stop else run_server(settings)
    except IocmngError as error:
        if settings.log_format != "json":
            raise
        SERVER_LOG.error("iocmng: %s", error)
        sys.exit(_status(error))


@app.command()
def run(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the plugin.")],
    prefix: Annotated[str, typer.Option(help="What stands before each PV's name.")],
    name: Annotated[str | None, typer.Option(help="Name of the plugin; the directory's if not given.")] = None,
    config: Annotated[Path | None, typer.Option(help="config.yaml elsewhere than in DIR.")] = None,
    pvout: PvoutOption = None,
    log_level: LogLevelOption = None,
    param: plugins.ParamOption = None,
) -> None:
    """Run one plugin in this process, without Ray and without REST."""
    from iocmng.cli.run import RunOptions, run_plugin

    options = RunOptions(directory, prefix=prefix, name=name, config=config, pvout=pvout, log_level=log_level)
    run_plugin(replace(options, parameters=parse_parameters(param or ())))


plugins.register(app)
app.command()(apply)
app.add_typer(jobs.app)
app.add_typer(tokens.app)
watching.register(app)


@app.command()
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory to make.")],
    kind: Annotated[TemplateKind, typer.Option(help="What the plugin is to be.")],
    name: Annotated[str | None, typer.Option(help="Name of the plugin; the directory's if not given.")] = None,
) -> None:
    """Make a git repository with a plugin, its tests, and a first commit."""
    from iocmng.cli.new import new as make

    make(directory, kind, name)


@app.command()
def validate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the plugin.")],
    name: Annotated[str | None, typer.Option(help="Name of the plugin; the directory's if not given.")] = None,
    prefix: Annotated[str | None, typer.Option(help="PREFIX of all PVs (IOCMNG_PREFIX).")] = None,
    param: plugins.ParamOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the `validation` object and nothing else.")] = False,
) -> None:
    """Make the checks of a server here, and print what each has found. Code of the plugin runs in a process apart."""
    from iocmng.cli.validate import validate as check

    if not check(directory, name, prefix, parse_parameters(param or ()), as_json):
        sys.exit(FAILED)


@app.command("import")
def import_(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Its file, or the directory that holds its config.yaml.")],
    target: Annotated[Path | None, typer.Option("-o", help="Plugins file to write; stdout if not given.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print entries and report as JSON, and nothing else.")
    ] = False,
) -> None:
    """Turn the configuration of an older controller into a plugins file; stderr tells what is left to be done."""
    from iocmng.cli.import_old import import_old

    import_old(old, target, Output(as_json))


@app.command()
def schema(
    file: Annotated[Literal["config", "plugins"], typer.Argument(help="config.yaml, or a plugins file.")],
) -> None:
    """Print the JSON Schema of a file, for an editor."""
    from iocmng.core.manifest import json_schema
    from iocmng.core.request import plugins_file_schema

    typer.echo(json.dumps(json_schema() if file == "config" else plugins_file_schema(), indent=2))


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Print the version of this command."""
    output = Output(as_json)
    output.object({"version": __version__}) if as_json else output.line(__version__)


run_app = typer.Typer(name="iocmng-run", add_completion=False, pretty_exceptions_enable=False)


@run_app.command()
def run_alias(
    module: Annotated[str | None, typer.Option("--module", "-m", help="Python module of the plugin.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class-name", "-c", help="Its class, if there are several.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Path of config.yaml.")] = None,
    prefix: Annotated[str | None, typer.Option(help="What stands before each PV's name.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the plugin; its class's if not given.")] = None,
    pva: Annotated[str | None, typer.Option(help="true or false: protocol of linked PVs.")] = None,
    log_level: LogLevelOption = None,
    pvout: PvoutOption = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE", help="A parameter; may be repeated.")
    ] = None,
) -> None:
    """Run one plugin in this process, as release 2.x did: `iocmng run` with its options and its defaults."""
    from iocmng.cli.run import RunOptions, run_plugin
    from iocmng.cli.run_as_2x import module_directory, parameters_of

    run_plugin(
        RunOptions(
            module_directory(module, config),
            prefix=prefix,
            name=name,
            config=config,
            pvout=pvout,
            log_level=log_level,
            module=module,
            class_name=class_name,
            pva=pva,
            parameters=parameters_of(param or ()),
            as_2x=True,
        )
    )


def main() -> None:
    """Entry point of `iocmng`."""
    _run(app)


def server_main() -> None:
    """Entry point of `iocmng-server`."""
    _run(lambda: app(args=["server", *sys.argv[1:]]))


def run_main() -> None:
    """Entry point of `iocmng-run`."""
    _run(run_app)


def _run(command: Callable[[], Any]) -> None:
    """Run a command; a failure is a sentence on stderr and an exit status, never a traceback."""
    try:
        command()
    except IocmngError as error:
        print_error(error)
        sys.exit(_status(error))
    except Exception as error:  # noqa: BLE001  the last place that can tell of it without a traceback
        print_error(IocmngError(f"this is a mistake of iocmng itself, please report it: {_place(error)}"))
        sys.exit(FAILED)


def _status(error: IocmngError) -> int:
    match error:
        case InvalidRequest():
            return WRONG_USAGE
        case ServerUnreachable():
            return UNREACHABLE
        case _:
            return FAILED


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
