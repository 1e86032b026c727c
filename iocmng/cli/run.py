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
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from iocmng.base.host import PluginHost
from iocmng.base.identity import identify
from iocmng.base.local_mapper import LocalMapper
from iocmng.base.plugin import PluginBase
from iocmng.core import pv_client
from iocmng.core.manifest import Manifest
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.names import check_plugin_name, check_prefix, site_prefix
from iocmng.core.ports.plugin import DeviceProvider
from iocmng.core.spec import RecordInfo
from iocmng.epics.access import read_access
from iocmng.epics.clients import EpicsPvClient
from iocmng.epics.ioc import PORTS_FILE, SiteRules, SoftIoc
from iocmng.errors import InvalidRequest, IocmngError, PluginRejected
from iocmng.loading.checks import check_syntax, read_manifest
from iocmng.loading.confinement import allowed_limits, apply_limits
from iocmng.loading.importer import load_class
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


def module_directory(module: str | None, config: Path | None) -> Path:
    """Return the plugin's directory from what iocmng-run is given: a module name, or a config.yaml beside it.

    Raises:
        InvalidRequest: If neither is given, or there is no such module below the working directory.
    """
    if module is not None:
        file = Path.cwd().joinpath(*module.split(".")).with_suffix(".py")
        if not file.is_file():
            raise InvalidRequest(f"there is no module {module} in {Path.cwd()}")
        return file.parent
    if config is None:
        raise InvalidRequest("give --module, or --config with a config.yaml that lies beside the plugin")
    return config.absolute().parent


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says.

    Attributes:
        directory: Directory of the plugin.
        prefix: What stands before each PV's name; None takes the site's.
        name: Name of the plugin; None takes the directory's.
        config: config.yaml elsewhere than in the directory.
        pvout: File into which the names of all PVs are written.
        module: The only module to look for the class in.
        class_name: Name of the class, where there are several.
        pva: Protocol of pv_client, true or false; None leaves it to the settings.
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
    prefix = options.prefix
    pv_prefix = check_prefix(prefix) if prefix is not None else site_prefix(settings.prefix, settings.beamline())
    devices = _devices(settings)
    pv_client.install(EpicsPvClient(settings.pva))
    # Not where the server keeps its own: one of its plugins may have the same name.
    values = settings.state.joinpath("run-values", *pv_prefix.split(":"))
    ioc = _ioc(settings, values)
    host = PluginHost(ioc, time, client_puts=ioc)
    try:
        records = _build(host, signals, options, pv_prefix, settings, values, devices)
        ca_port, pva_port = signals.result(host.thread.submit(host.serve))
        if options.pvout is not None:
            _write_names(options.pvout, records)
        _say(f"{pv_prefix}: {len(records)} PVs on {socket.gethostname()}, CA port {ca_port}, PVA port {pva_port}")
        signals.result(host.set_running(True))
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


def _ioc(settings: Settings, values: Path) -> SoftIoc:
    access = read_access(settings)
    for warning in access.warnings:
        _say(f"iocmng: {warning}")
    ioc = SoftIoc()
    ioc.rules = SiteRules(access.text, settings.port_range, values / PORTS_FILE)
    return ioc


def _build(
    host: PluginHost,
    signals: _Signals,
    options: RunOptions,
    pv_prefix: str,
    settings: Settings,
    values: Path,
    devices: DeviceProvider | None,
) -> tuple[RecordInfo, ...]:
    directory, manifest = options.directory.resolve(), _manifest(options)
    name = check_plugin_name(options.name or directory.name)
    module = options.module.rpartition(".")[2] if options.module else None
    limits = allowed_limits(manifest, settings)
    if limits.cpu is not None:
        _say(f"limits.cpu: {limits.cpu:g} is kept by a server only; here the plugin may use all CPUs")
    signals.result(host.thread.submit(apply_limits, limits))
    loading: Future[type[PluginBase]] = host.thread.submit(load_class, str(directory), None, manifest, module)
    try:
        cls = signals.result(loading)
    except PluginRejected:
        check_syntax(directory)  # the search for the class passes over a file that Python cannot read
        raise
    if manifest.schedule is not None:
        _say(
            "the schedule of config.yaml does nothing here: without a server nobody looks at the clock. Write 1 to RUN"
        )
    identity = signals.result(host.thread.submit(identify, name, pv_prefix, cls, manifest, {}, commit=None))
    building = host.build(
        cls,
        identity,
        settings.log_level,
        values,
        result_max_bytes=settings.result_max_bytes,
        mapper=LocalMapper(str(directory)),
        devices=devices,
    )
    return signals.result(building)


def _write_names(file: Path, records: tuple[RecordInfo, ...]) -> None:
    try:
        file.write_text("".join(f"{record.name}\n" for record in records), encoding="utf-8")
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
