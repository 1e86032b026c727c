"""`iocmng run`: one plugin in this process, for development and for a pod of its own. No Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from iocmng.base.declarative import DeclarativeTask
from iocmng.base.host import PluginHost
from iocmng.base.identity import Identity, identify
from iocmng.base.job_runner import LOCAL_RUN
from iocmng.base.local_mapper import LocalMapper
from iocmng.base.plugin import PluginBase
from iocmng.cli.run_as_2x import DECLARATIVE
from iocmng.core import pv_client
from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import Manifest
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.names import check_plugin_name, check_prefix, plugin_pv_prefix, site_prefix
from iocmng.core.ports.plugin import DeviceProvider
from iocmng.core.runs import RunOrder
from iocmng.core.spec import RecordInfo
from iocmng.epics.access import read_access
from iocmng.epics.clients import EpicsPvClient
from iocmng.epics.ioc import PORTS_FILE, SiteRules, SoftIoc
from iocmng.errors import InvalidRequest, IocmngError, PluginRejected
from iocmng.loading.checks import check_syntax, read_manifest
from iocmng.loading.confinement import allowed_limits, apply_limits
from iocmng.loading.importer import load_class
from iocmng.loading.own_requirements import install_beside
from iocmng.ophyd import device_provider
from iocmng.settings import Settings, load_settings


class _Stopped(Exception):
    """A signal asks for the end."""


class _Signals:
    """SIGTERM and SIGINT, from the start of the process on.

    A queue tells of them, because its put() may be called in a signal handler at any time; an Event's set() may not.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._events.put(None))

    def result(self, future: Future[Any]) -> Any:
        """Return the future's result.

        Raises:
            _Stopped: If a signal comes first.
        """
        future.add_done_callback(self._events.put)
        while (event := self._next()) is not future:
            if event is None:
                raise _Stopped
        return future.result()

    def wait(self) -> None:
        """Return when a signal comes."""
        while self._next() is not None:
            pass

    def _next(self) -> Future[Any] | None:
        while True:
            # The limit is for a signal that the kernel gives to another thread: Python acts on it in this one.
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=1.0)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says.

    Attributes:
        directory: Directory of the plugin.
        prefix: What stands before each PV's name; None takes what a server would give it.
        name: Name of the plugin; None takes the directory's.
        config: config.yaml elsewhere than in the directory.
        pvout: File into which the names of all PVs are written.
        module: The only module to look for the class in.
        class_name: Name of the class, where there are several.
        pva: Protocol of pv_client, true or false; None leaves it to the settings.
        parameters: Laid over those of config.yaml.
        as_2x: Whether to do what iocmng-run of 2.x did, with its image: the class gives the name, requirements are
            installed, and a job runs once at the start.
    """

    directory: Path
    prefix: str | None = None
    name: str | None = None
    config: Path | None = None
    pvout: Path | None = None
    log_level: str | None = None
    module: str | None = None
    class_name: str | None = None
    pva: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    as_2x: bool = False


def run_plugin(options: RunOptions) -> NoReturn:
    """Run the plugin until SIGTERM or SIGINT, then its cleanup().

    Raises:
        InvalidRequest: If an argument does not fit.
        PluginRejected: If the plugin fails a check.
    """
    signals = _Signals()
    settings = load_settings(log_level=options.log_level, pva=options.pva)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    if not options.directory.is_dir():
        raise InvalidRequest(f"there is no directory {options.directory}")
    devices = _devices(settings)
    pv_client.install(EpicsPvClient(settings.pva))
    ioc = SoftIoc()
    host = PluginHost(ioc, time, client_puts=ioc)
    try:
        plugin = _loaded(host, signals, options, settings)
        # Not where the server keeps its own: one of its plugins may have the same name.
        values = settings.state.joinpath("run-values", *plugin.identity.pv_prefix.split(":"))
        ioc.rules = _rules(settings, values)
        records = signals.result(_building(host, plugin, options, settings, values, devices))
        ca_port, pva_port = signals.result(host.thread.submit(host.serve))
        if options.pvout is not None:
            _write_names(options.pvout, records)
        place = f"{socket.gethostname()}, CA port {ca_port}, PVA port {pva_port}"
        _say(f"{plugin.identity.pv_prefix}: {len(records)} PVs on {place}")
        signals.result(host.set_running(True))
        if options.as_2x and plugin.cls.kind is Kind.JOB:
            host.run_job(RunOrder(LOCAL_RUN))
        signals.wait()
    except _Stopped:
        pass
    except IocmngError as error:
        # The author's thread may hold the process: nothing but an immediate end is sure.
        _say(f"iocmng: {error}")
        _exit(2 if isinstance(error, InvalidRequest) else 1)
    _end(host, settings.stop_timeout)


def _manifest(options: RunOptions) -> Manifest:
    manifest = read_manifest(options.directory) if options.config is None else _read(options.config)
    return manifest.model_copy(update={"class_name": options.class_name}) if options.class_name else manifest


def _read(config: Path) -> Manifest:
    try:
        return parse_manifest(config.read_text(encoding="utf-8"), config.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"cannot read {config}: {error}") from error


def _devices(settings: Settings) -> DeviceProvider | None:
    """Return what makes ophyd devices, if they are switched on; say what in the beamline file cannot be used."""
    if settings.disable_ophyd:
        return None
    table = settings.device_table(settings.beamline())
    for problem in table.problems:
        _say(f"{settings.beamline_config}: {problem}")
    return device_provider(table, settings.device_timeout)


def _rules(settings: Settings, values: Path) -> SiteRules:
    access = read_access(settings)
    for warning in access.warnings:
        _say(f"iocmng: {warning}")
    return SiteRules(access.text, settings.port_range, values / PORTS_FILE)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The plugin's class, and what it is told about itself."""

    cls: type[PluginBase]
    identity: Identity


def _loaded(host: PluginHost, signals: _Signals, options: RunOptions, settings: Settings) -> _Loaded:
    directory, manifest = options.directory.resolve(), _manifest(options)
    limits = allowed_limits(manifest, settings)
    if limits.cpu is not None:
        _say(f"limits.cpu: {limits.cpu:g} is kept by a server only; here the plugin may use all CPUs")
    signals.result(host.thread.submit(apply_limits, limits))
    cls = signals.result(host.thread.submit(_class, options, directory, manifest, settings))
    if manifest.schedule is not None:
        _say(
            "the schedule of config.yaml does nothing here: without a server nobody looks at the clock. Write 1 to RUN"
        )
    name = check_plugin_name(options.name or (cls.__name__.lower() if options.as_2x else directory.name))
    if options.prefix is not None:
        pv_prefix = check_prefix(options.prefix)
    else:
        pv_prefix = plugin_pv_prefix(site_prefix(settings.prefix, settings.beamline()), name, manifest.prefix)
    identifying = host.thread.submit(identify, name, pv_prefix, cls, manifest, options.parameters, commit=None)
    identity: Identity = signals.result(identifying)
    for warning in identity.warnings:
        _say(f"warning: {warning}")
    return _Loaded(cls, identity)


def _class(options: RunOptions, directory: Path, manifest: Manifest, settings: Settings) -> type[PluginBase]:
    """Return the plugin's class; called in the author's thread."""
    if options.module == DECLARATIVE:
        return DeclarativeTask
    packages = install_beside(directory, settings) if options.as_2x else None
    module = options.module.rpartition(".")[2] if options.module else None
    try:
        return load_class(str(directory), packages, manifest, module)
    except PluginRejected:
        check_syntax(directory)  # the search for the class passes over a file that Python cannot read
        raise


def _building(
    host: PluginHost,
    plugin: _Loaded,
    options: RunOptions,
    settings: Settings,
    values: Path,
    devices: DeviceProvider | None,
) -> Future[tuple[RecordInfo, ...]]:
    return host.build(
        plugin.cls,
        plugin.identity,
        settings.log_level,
        values,
        result_max_bytes=settings.result_max_bytes,
        mapper=LocalMapper(str(options.directory.resolve())),
        devices=devices,
    )


def _write_names(file: Path, records: tuple[RecordInfo, ...]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}\n" for name in sorted(record.name for record in records)), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"cannot write {file}: {error.strerror}") from error


def _end(host: PluginHost, limit: float) -> NoReturn:
    ending = host.end()
    try:
        ending.result(limit)
    except TimeoutError:
        what = "cleanup()" if ending.running() else "the plugin's code"
        _say(f"iocmng: {what} did not end within {limit:g} s")
        _exit(1)
    _exit(0)


def _exit(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201
