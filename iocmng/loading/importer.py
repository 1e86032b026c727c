"""Import a plugin and find its class. This runs the author's code, so it runs in the plugin's own process only."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from iocmng.base.author_errors import AUTHOR_ERRORS, limit_met
from iocmng.base.job import JobBase
from iocmng.base.plugin import PluginBase
from iocmng.base.task import TaskBase
from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import CONFIG_FILE_NAMES, Manifest
from iocmng.errors import CheckFailure, PluginRejected
from iocmng.loading.candidates import find_candidates

PREFIX = "iocmng_plugin_"
"""Stands before the name of a module whose own name is taken, by one of the standard library for example."""

MAX_MESSAGE = 600


def load_class(
    bundle_directory: str, packages: str | None, manifest: Manifest, module: str | None = None
) -> type[PluginBase]:
    """Import the plugin's modules and return its class.

    The bundle and its packages stay at the front of sys.path, so this process serves this plugin only.

    Args:
        bundle_directory: Where the plugin's files lie.
        packages: Where its requirements are installed.
        manifest: Its config.yaml, which may name the class and its kind.
        module: Name of the only module to look for the class in; None looks in all.

    Raises:
        PluginRejected: Step import, inheritance, config or abstract methods.
    """
    directory = Path(bundle_directory).resolve()
    sys.path[:0] = [str(directory), *([packages] if packages else [])]
    importlib.invalidate_caches()
    candidates = [path for path in find_candidates(directory) if module in (None, path.stem)]
    modules = [_import_file(path, directory) for path in candidates]
    chosen = _choose(_plugin_classes(modules, directory), manifest, directory)
    check_class(chosen, manifest, directory)
    return chosen


def check_class(cls: type[PluginBase], manifest: Manifest, directory: Path) -> None:
    """Check a plugin's class: it is what config.yaml says, and complete.

    Raises:
        PluginRejected: Step inheritance, config or abstract methods.
    """
    _check_kind(cls, manifest, directory)
    _check_complete(cls, directory)


def _import_file(path: Path, directory: Path) -> ModuleType:
    """Import one file as the module that its neighbours get when they import its name."""
    present = sys.modules.get(path.stem)
    if present is not None and _file_of(present) == path.resolve():
        return present
    name = path.stem if present is None else f"{PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # The author's code runs here and may raise anything, SystemExit too: all of it is a failed check. That is told
    # without the author's exception: whoever shows the one would have to ask the other for its text.
    except AUTHOR_ERRORS as error:
        sys.modules.pop(name, None)
        raise PluginRejected.because(_import_failure(error, path, directory)) from None
    return sys.modules.get(name, module)


def _import_failure(error: BaseException, path: Path, directory: Path) -> CheckFailure:
    frames = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(file, line) for file, line in frames if file.is_relative_to(directory)]
    file, line = own[-1] if own else (path, None)
    text = "; ".join(filter(None, (_text(error), limit_met(error))))
    message = f"{type(error).__name__}: {text}".removesuffix(": ")
    if isinstance(error, ModuleNotFoundError):
        message += "; add its package to requirements.txt, or put the module beside the plugin"
    return CheckFailure("import", message, file.relative_to(directory).as_posix(), line)


def _text(error: BaseException) -> str:
    """Return an exception's text as something that every protocol can carry."""
    try:
        text = str(error)
    except AUTHOR_ERRORS:  # the author's own __str__
        text = "(its text cannot be shown)"
    return text[:MAX_MESSAGE].encode(errors="replace").decode()


def _plugin_classes(modules: Sequence[ModuleType], directory: Path) -> list[type[PluginBase]]:
    """Return the classes that can be the plugin: defined in the bundle, and no unfinished base of another one."""
    found: list[type[PluginBase]] = []
    for value in (value for module in modules for value in list(vars(module).values())):
        is_plugin = isinstance(value, type) and issubclass(value, (TaskBase, JobBase))
        if is_plugin and value not in found and _place(value, directory)[0]:
            found.append(value)
    return [
        cls
        for cls in found
        if not (inspect.isabstract(cls) and any(other is not cls and issubclass(other, cls) for other in found))
    ]


def _choose(classes: list[type[PluginBase]], manifest: Manifest, directory: Path) -> type[PluginBase]:
    named = [f"{cls.__name__} ({_place_text(cls, directory)})" for cls in classes]
    if not classes:
        raise _rejected(
            "inheritance",
            "there is no plugin class: define one class derived from TaskBase, JobBase or DeclarativeTask "
            "(`from iocmng import TaskBase`) in a Python file of the plugin's directory",
        )
    if manifest.class_name is None:
        if len(classes) > 1:
            raise _rejected(
                "inheritance",
                f"there are {len(classes)} plugin classes: {', '.join(named)}; keep one, "
                "or choose with `class: Name` in config.yaml",
                *_place(classes[1], directory),
            )
        return classes[0]
    matching = [cls for cls in classes if cls.__name__ == manifest.class_name]
    if len(matching) == 1:
        return matching[0]
    if matching:
        places = ", ".join(_place_text(cls, directory) for cls in matching)
        message = f"`class` names {manifest.class_name!r}, which is defined twice: {places}; rename one"
    else:
        close = difflib.get_close_matches(manifest.class_name, [cls.__name__ for cls in classes], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        message = f"`class` names {manifest.class_name!r}, but the plugin defines {', '.join(named)}{hint}"
    raise _rejected("inheritance", message, _config_file(directory))


def _check_kind(cls: type[PluginBase], manifest: Manifest, directory: Path) -> None:
    if cls.kind is not (Kind.JOB if issubclass(cls, JobBase) else Kind.TASK):
        message = f"{cls.__name__}.kind is an attribute of iocmng's own; choose another name for yours"
        raise _rejected("inheritance", message, *_place(cls, directory))
    if manifest.type is not None and manifest.type != cls.kind:
        raise _rejected(
            "config",
            f"`type` says {manifest.type.value}, but {cls.__name__} ({_place_text(cls, directory)}) is a "
            f"{cls.kind.value}; correct one of them, or leave `type` out",
            _config_file(directory),
        )


def _check_complete(cls: type[PluginBase], directory: Path) -> None:
    missing = sorted(cls.__abstractmethods__)
    if missing:
        methods = ", ".join(f"{name}()" for name in missing)
        raise _rejected(
            "abstract methods",
            f"{cls.__name__} lacks {methods}; write what is missing, with `pass` where there is nothing to do",
            *_place(cls, directory),
        )


def _place(cls: type, directory: Path) -> tuple[str | None, int | None]:
    """Return the file inside the plugin and the line where a class is defined; no file for one from elsewhere."""
    module = sys.modules.get(cls.__module__)
    file = _file_of(module) if module is not None else None
    if file is None or not file.is_relative_to(directory):
        return None, None
    try:
        line = inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        line = None
    return file.relative_to(directory).as_posix(), line


def _place_text(cls: type, directory: Path) -> str:
    return ":".join(str(part) for part in _place(cls, directory) if part is not None)


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def _config_file(directory: Path) -> str | None:
    return next((name for name in CONFIG_FILE_NAMES if (directory / name).is_file()), None)


def _rejected(step: str, message: str, file: str | None = None, line: int | None = None) -> PluginRejected:
    return PluginRejected.because(CheckFailure(step, message, file, line))
